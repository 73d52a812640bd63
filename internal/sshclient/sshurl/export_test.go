package sshurl

import "fmt"

// Reveal is all of a target, secrets included, for tests to compare.
func Reveal(t Target) string {
	return fmt.Sprintf("%s password=%q passphrase=%q suPassword=%q",
		t, t.password.Reveal(), t.passphrase.Reveal(), t.suPassword.Reveal())
}
