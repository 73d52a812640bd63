// Package need is a small suite with real guests that a spec of package itest runs in
// two processes: its specs need one of three declared hosts each.
package need

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
	_ "github.com/overcast-go/overcast/provider/libvirt"
	"github.com/overcast-go/overcast/suite"
)

func TestNeed(t *testing.T) {
	if os.Getenv("LAB_CONF") == "" {
		t.Skip("a suite that package itest runs in the lab")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "need")
}

var hosts = suite.Declare("need_used", "need_unused", "need_broken")

var _ = BeforeSuite(hosts.SetUpOnNeed)

var _ = Describe("the used host", func() {
	BeforeEach(hosts.Need("need_used"))

	for _, name := range []string{"is up", "is still up", "is up until the end"} {
		It(name, func() {
			Expect(fixture.Host("need_used")).To(BeReachableOnSSH().Within(30 * time.Second))
		})
	}
})

var _ = Describe("the unused host", Ordered, func() {
	BeforeAll(hosts.Need("need_unused"))
	It("is not in the focus", func() {})
})

var _ = Describe("the broken host", func() {
	BeforeEach(hosts.Need("need_broken"))
	It("fails this spec", func() {})
})
