package child

import (
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Two specs that acquire the same two hosts in opposite orders; each acquires its
// second host when both have their first.
var _ = Describe("specs that acquire two hosts in different orders", func() {
	if does != "deadlock" {
		return
	}
	for _, order := range [][]string{{labels[0], labels[1]}, {labels[1], labels[0]}} {
		Context("with "+order[0]+" first", func() {
			BeforeEach(hosts.Exclusive(order[0]))
			BeforeEach(func(ctx SpecContext) {
				Expect(os.WriteFile(os.Getenv("CHILD_LOG")+"."+order[0], nil, 0o600)).To(Succeed())
				Expect(await(ctx, os.Getenv("CHILD_LOG")+"."+order[1])).To(Succeed())
			})
			BeforeEach(hosts.Exclusive(order[1]))
			It("has both", func() { note("has both") })
		})
	}
})
