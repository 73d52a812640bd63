package child

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
)

// Specs that each need one of the hosts, and one that needs none.
var _ = Describe("needing", func() {
	if !strings.HasPrefix(does, "need") {
		return
	}
	It("no host", func() {})
	for _, label := range labels {
		Describe(label, func() {
			if does == "need after pristine" {
				BeforeEach(hosts.Pristine(label))
			}
			BeforeEach(hosts.Need(label))
			for _, name := range []string{"one", "two"} {
				It(name, func() {
					Expect(fixture.Host(label).HostName()).NotTo(BeEmpty())
					note("uses %s", label)
				})
			}
		})
		Describe(label+" in a BeforeAll", Ordered, func() {
			BeforeAll(hosts.Need(label))
			It("uses it", func() { note("uses %s", label) })
		})
	}
})
