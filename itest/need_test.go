package itest

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

const needConfig = `
need_used {
	libvirtURL = "qemu:///system", libvirtBaseDomain = my_base_domain, networkDeviceId = my_nat_network
	connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY}
	provision.startTimeout = 3 minutes // emulated guests on a busy machine
}
need_unused = ${need_used}
need_broken = ${need_used} { libvirtBaseDomain = no_such_domain }
`

var _ = Describe("a suite whose specs need hosts", func() {
	It("does not boot a host that no focused spec needs, and fails the spec whose host does not boot", func() {
		output := failingSuite("need", needConfig, "-v", "--focus", "the (used|broken) host")
		Expect(output).To(ContainSubstring("3 Passed | 1 Failed"))
		Expect(output).To(MatchRegexp(`\[FAIL\] the broken host \[BeforeEach\] fails this spec`))
		Expect(output).To(ContainSubstring("no_such_domain"))
		Expect(output).To(ContainSubstring("need_used: cloned"))
		Expect(output).NotTo(ContainSubstring("need_unused: "))
		Expect(leftovers("need_used")).To(BeEmpty())
	})
})
