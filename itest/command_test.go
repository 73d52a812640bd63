package itest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// overcastBinary is the command, built once in a process.
var overcastBinary = sync.OnceValue(func() string {
	path := filepath.Join(os.TempDir(), "overcast")
	out, err := exec.Command("go", "build", "-o", path, "../cmd/overcast").CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	return path
})

// overcast runs the command, which has to succeed, and answers with what it
// prints. It sees the configuration of the spec.
func overcast(args ...string) string {
	GinkgoHelper()
	out, err := exec.Command(overcastBinary(), args...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "overcast %v: %s", args, out)
	GinkgoWriter.Printf("overcast %v\n%s", args, out)
	return string(out)
}
