package main

import (
	"regexp"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/redact"
)

// secrets are the parts of a configuration that are not printed.
type secrets struct {
	passwords bool     // the values of keys that end in password are secrets
	values    []string // secrets that were found, which are masked everywhere
}

var (
	passphraseKey = regexp.MustCompile(`(?i)passphrases?\s*$`)
	passwordKey   = regexp.MustCompile(`(?i)passwords?\s*$`)
)

// minLength is the length from which a secret is masked in other values as well:
// nearly all of them contain "a".
const minLength = 4

// findSecrets collects the secrets of a configuration.
func findSecrets(root *hocon.Value, passwords bool) *secrets {
	s := &secrets{passwords: passwords}
	s.collect(root, false)
	return s
}

// isSecretKey reports whether everything below a key is secret.
func (s *secrets) isSecretKey(key string) bool {
	return passphraseKey.MatchString(key) || s.passwords && passwordKey.MatchString(key)
}

// collect adds the secrets in v. With secret, everything in v is a secret.
func (s *secrets) collect(v *hocon.Value, secret bool) {
	for _, c := range children(v) {
		s.add(c.key, false)
		s.collect(c.value, secret || s.isSecretKey(c.key))
	}
	if kind := v.Kind(); kind == hocon.String || kind == hocon.Number {
		text, _ := v.Text() // a string or number has a text
		s.add(text, secret)
	}
}

// add adds the secrets in a text. With secret, the whole text is one.
func (s *secrets) add(text string, secret bool) {
	_, found := redact.Redact(text)
	if secret {
		found = append(found, text)
	}
	for _, value := range found {
		if len(value) >= minLength {
			s.values = append(s.values, value)
		}
	}
}

// mask returns a text with the secrets in it masked.
func (s *secrets) mask(text string) string {
	return redact.Hide(redact.Text(text), s.values)
}
