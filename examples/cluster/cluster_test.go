// Package cluster shows several hosts that reach one another.
package cluster

import (
	"fmt"
	"os"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
	_ "github.com/overcast-go/overcast/provider/libvirt"
)

func TestWebServersReachTheDatabase(t *testing.T) {
	if os.Getenv("LAB_CONF") == "" {
		t.Skip("needs a hypervisor: run it in the lab, or change overcast.conf and remove this line")
	}
	g := NewWithT(t)
	hosts := fixture.UpAll(t, "db", "web-1", "web-2") // they boot at the same time
	db, servers := hosts[0], hosts[1:]
	for _, web := range servers {
		query := fmt.Sprintf("wget -qO- http://%s:5432/answer", db.Address())
		g.Expect(web).To(RunCommand(query).WithStdout("42\n"))
	}
	g.Expect(servers[0].Address()).NotTo(Equal(servers[1].Address()))
}
