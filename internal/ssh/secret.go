package ssh

import (
	"fmt"
	"strings"
)

// redacted stands wherever a secret would be shown.
const redacted = "********"

// secret holds a password or passphrase so that no verb of fmt shows it. It
// keeps a pointer because fmt does not call methods on unexported fields of
// foreign structs: there it prints the pointer's address, not the text.
type secret struct{ text *string }

func newSecret(s string) secret {
	if s == "" {
		return secret{}
	}
	return secret{&s}
}

func (s secret) reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String shows that there is a secret, not which.
func (s secret) String() string {
	if s.text == nil {
		return ""
	}
	return redacted
}

// Format keeps every verb, %#v included, from looking inside.
func (s secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// hide removes the secret from text that came from elsewhere.
func (s secret) hide(text string) string {
	if s.text == nil {
		return text
	}
	return strings.ReplaceAll(text, *s.text, redacted)
}
