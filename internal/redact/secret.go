package redact

import "fmt"

// Mask stands wherever a Secret would be shown.
const Mask = "********"

// Secret holds a password or passphrase so that no verb of fmt shows it. It
// keeps a pointer because fmt does not call methods on unexported fields of
// foreign structs: there it prints the pointer's address, not the text.
type Secret struct{ text *string }

// NewSecret returns a secret. An empty text is none.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// IsSet reports whether there is a secret.
func (s Secret) IsSet() bool { return s.text != nil }

// Reveal returns the secret itself.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String masks the secret. It is empty if there is none.
func (s Secret) String() string {
	if s.text == nil {
		return ""
	}
	return Mask
}

// Format keeps every verb, %#v included, from looking inside.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// Hide masks the secret in a text as the function Hide does.
func (s Secret) Hide(text string) string { return Hide(text, []string{s.Reveal()}) }
