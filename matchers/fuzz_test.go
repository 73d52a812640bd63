package matchers

import (
	"strings"
	"testing"
)

func FuzzParseMounts(f *testing.F) {
	f.Add("/dev/vda / ext4 rw 0 0\ndata /mnt/a\\040b 9p rw,trans=virtio 0 0\n")
	f.Add("proc on /proc type proc (rw,nosuid)\n\\777 a b c")
	f.Fuzz(func(t *testing.T, table string) {
		for _, m := range parseMounts(table) {
			if m.point == "" || m.String() == "" {
				t.Errorf("%+v has no mount point", m)
			}
		}
	})
}

func FuzzParseProcesses(f *testing.F) {
	f.Add("7\n==> /proc/1/stat <==\n1 (init) S 0\n==> /proc/1/cmdline <==\n/sbin/init\x00\n==> /proc/7/stat <==\n7 (a) b) Z 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		own, _, _ := strings.Cut(text, "\n")
		list, _ := parseProcesses(text)
		for _, p := range list {
			if p.id == own {
				t.Error("the process that lists is in the list")
			}
			p.hasName("init")
			_ = p.String()
		}
	})
}

func TestMessagesShowControlCharactersAsEscapes(t *testing.T) {
	text := message("expected", "web", "to run", "cat", 1, verdict{found: "a \x1b[2J file"})
	if strings.Contains(text, "\x1b") || !strings.Contains(text, `\x1b[2J`) {
		t.Errorf("got %q", text)
	}
}
