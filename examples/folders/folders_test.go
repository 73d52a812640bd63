// Package folders shows a folder of this machine in a guest.
package folders

import (
	"os"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
	_ "github.com/overcast-go/overcast/provider/libvirt"
)

func TestGuestServesAFolder(t *testing.T) {
	if os.Getenv("LAB_CONF") == "" {
		t.Skip("needs a hypervisor: run it in the lab, or change overcast.conf and remove this line")
	}
	g := NewWithT(t)
	web := fixture.Up(t, "web")
	g.Expect(web).To(HaveMounted("/var/www"))
	g.Expect(web).To(RespondToHTTP(80, "/index.html").WithBody(ContainSubstring("a folder of this machine")))
	g.Expect(web).NotTo(RunCommand("touch /var/www/new")) // the folder is read-only
}
