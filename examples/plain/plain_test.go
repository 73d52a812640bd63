// Package plain shows hosts in a plain go test.
package plain

import (
	"os"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/fixture"
	_ "github.com/overcast-go/overcast/provider/libvirt"
)

func TestBox(t *testing.T) {
	if os.Getenv("LAB_CONF") == "" {
		t.Skip("needs a hypervisor: run it in the lab, or change overcast.conf and remove this line")
	}
	box := fixture.Up(t, "box") // torn down at the end of the test
	for command, want := range map[string]string{"uname -s": "Linux", "id -u": "0"} {
		t.Run(command, func(t *testing.T) {
			result, err := box.Run(t.Context(), command)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(result.Stdout); got != want {
				t.Errorf("%s printed %q, not %q", command, got, want)
			}
		})
	}
}
