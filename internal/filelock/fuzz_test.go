//go:build unix

package filelock

import "testing"

func FuzzParseTicket(f *testing.F) {
	f.Add([]byte(`{"host":"a","process":1,"needs":18446744073709551615}`))
	f.Add([]byte("null"))
	f.Fuzz(func(_ *testing.T, content []byte) {
		_ = parseTicket(content).String()
	})
}
