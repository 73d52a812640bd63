package itest

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
)

var _ = Describe("a cloned host", func() {
	It("runs commands", func(ctx SpecContext) {
		host := fixture.Host("nat_host")
		result, err := host.Run(ctx, "echo hello; cat /etc/hostname >&2; exit 3")
		Expect(err).NotTo(HaveOccurred())
		Expect(result).To(Equal(fixture.Result{Stdout: "hello\n", Stderr: "guest\n", ExitCode: 3}))
	})
})
