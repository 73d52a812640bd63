package cloudinit_test

import (
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/cloudinit"
)

func FuzzParseStatus(f *testing.F) {
	f.Add(1, "status: error\nerrors:\n\t- failed\n"+logMarker+"a\nb\n")
	f.Add(0, "status: done\x1b[0m\n")
	f.Fuzz(func(t *testing.T, code int, output string) {
		err := cloudinit.ParseStatus(code, output).Err()
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\x00") {
			t.Errorf("the error has control characters: %q", err)
		}
	})
}
