package main

import (
	"regexp"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/ssh"
)

// mask stands for a secret.
const mask = "********"

// secrets knows what must not be shown of a configuration.
type secrets struct {
	passwords bool     // keys of passwords hold secrets, as those of passphrases always do
	values    []string // that were found, wherever else they stand
}

var (
	passphraseKey = regexp.MustCompile(`(?i)passphrases?\s*$`)
	passwordKey   = regexp.MustCompile(`(?i)passwords?\s*$`)
)

// shortest is the length of a secret that is worth looking for elsewhere: "a"
// is in everything.
const shortest = 4

// secretsIn collects the secrets of a configuration.
func secretsIn(root *hocon.Value, passwords bool) *secrets {
	s := &secrets{passwords: passwords}
	s.collect(root, false)
	return s
}

// secretKey says whether all that a key has is secret.
func (s *secrets) secretKey(key string) bool {
	return passphraseKey.MatchString(key) || s.passwords && passwordKey.MatchString(key)
}

// collect takes note of the secrets in v, which is secret itself where it is
// below a key of secrets.
func (s *secrets) collect(v *hocon.Value, secret bool) {
	for _, c := range children(v) {
		s.add(c.key, false)
		s.collect(c.value, secret || s.secretKey(c.key))
	}
	if kind := v.Kind(); kind == hocon.String || kind == hocon.Number {
		text, _ := v.Text()
		s.add(text, secret)
	}
}

// add takes note of a text that is secret, or of the secrets in it.
func (s *secrets) add(text string, secret bool) {
	_, found := ssh.Redact(text)
	if secret {
		found = append(found, text)
	}
	for _, value := range found {
		if len(value) >= shortest {
			s.values = append(s.values, value)
		}
	}
}

// mask is a text without the secrets in it.
func (s *secrets) mask(text string) string {
	shown, _ := ssh.Redact(text)
	return ssh.Hide(shown, s.values)
}
