package memory

import "testing"

func FuzzParseMeminfo(f *testing.F) {
	f.Add(meminfo)
	f.Add("MemTotal: 1 kB\nMemFree: 18014398509481983 kB\nCached: 18014398509481983 kB\nShmem: 0 kB\n")
	f.Fuzz(func(t *testing.T, text string) {
		if m, ok := parseMeminfo(text); m.free > m.total || (ok && m.total == 0) {
			t.Errorf("%d of %d bytes are free", m.free, m.total)
		}
	})
}
