package lsmode_test

import (
	"testing"

	"github.com/overcast-go/overcast/internal/lsmode"
)

func FuzzParse(f *testing.F) {
	f.Add("-rwsr-xr-x. 1 root root 7 file")
	f.Add("drwxrwxrwt")
	f.Fuzz(func(t *testing.T, text string) {
		mode, err := lsmode.Parse(text)
		if err != nil {
			return
		}
		// The permissions are those of the text.
		for n, letter := range mode.Perm().String()[1:] {
			if set := text[1+n] != '-' && text[1+n] != 'S' && text[1+n] != 'T'; set != (letter != '-') {
				t.Errorf("%q is %v", text, mode)
			}
		}
	})
}
