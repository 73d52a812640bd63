package itest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

// runOfOne is a run of one host in another process, TestChild, without the
// configuration of this suite.
type runOfOne struct {
	*gexec.Session
	stdin io.WriteCloser // at its end the host is torn down, and the process ends
}

// otherRun says how to start a run in another process.
type otherRun struct {
	via    []string // command and arguments that start it, or none
	config string   // its only overcast.conf
	env    []string
}

// bringsUp starts a run that sets a host up.
func (s otherRun) bringsUp(label string) *runOfOne {
	GinkgoHelper()
	return s.runs("TestChild", childVariable+"="+label)
}

// runs starts a run of a test.
func (s otherRun) runs(test string, env ...string) *runOfOne {
	GinkgoHelper()
	dir := openDir() // the run may have another user
	Expect(os.WriteFile(filepath.Join(dir, "overcast.conf"), []byte(s.config), 0o644)).To(Succeed())
	args := append(append([]string{}, s.via...), os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(append(append(os.Environ(), "OVERCAST_SET="), s.env...), env...)
	stdin, err := cmd.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	session, err := gexec.Start(cmd, GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { session.Kill().Wait(30 * time.Second) })
	return &runOfOne{session, stdin}
}

var upAt = regexp.MustCompile(`(?m)^up at (\S+)$`)

// isUp reports whether the host is up. It stops polling if the run has failed.
func (r *runOfOne) isUp() (bool, error) {
	if upAt.Match(r.Out.Contents()) {
		return true, nil
	}
	if r.ExitCode() >= 0 {
		return false, StopTrying("the run has ended").Attach("output", string(r.Out.Contents()))
	}
	return false, nil
}

// address waits for the host and returns its address.
func (r *runOfOne) address() string {
	GinkgoHelper()
	Eventually(r.isUp).WithTimeout(2 * time.Minute).Should(BeTrue())
	return string(upAt.FindSubmatch(r.Out.Contents())[1])
}

// ends makes the run tear its host down and waits until it has ended with exit code 0.
func (r *runOfOne) ends() {
	GinkgoHelper()
	Expect(r.stdin.Close()).To(Succeed())
	Eventually(r, time.Minute).Should(gexec.Exit(0))
}
