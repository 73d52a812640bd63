package main

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/overcast-go/overcast/hocon"
)

// mask stands for a secret.
const mask = "********"

// secrets knows what must not be shown of a configuration.
type secrets struct {
	byKey  bool     // the configuration declares hosts: its keys mean what overcast means by them
	values []string // that were found, wherever else they stand
}

// Forms of secrets in URLs, and keys that hold one.
var (
	inUserInfo  = regexp.MustCompile(`(://[^/?#@\s:]*):([^/?#\s]*)@`)
	inParameter = regexp.MustCompile(`(?i)\b(passphrase|(?:su|sudo)?password)=([^&\s]*)`)
	secretKey   = regexp.MustCompile(`(?i)(passphrase|password)$`)
)

// hostKeys are keys that only a host's section has.
var hostKeys = []string{"libvirtBaseDomain", "baseDomain", "libvirtURL", "networkDeviceId", "ipLookupStrategy", "hostname"}

// shortest is the length of a secret that is worth looking for elsewhere: "a"
// is in everything.
const shortest = 4

// secretsIn collects the secrets of a configuration. One that declares no
// host is any HOCON file, whose keys are not ours to interpret; only URLs mean
// the same everywhere.
func secretsIn(root *hocon.Value) secrets {
	var s secrets
	for _, key := range root.Keys() {
		section, _ := root.Get(key)
		for _, host := range hostKeys {
			if _, ok := section.Get(host); ok {
				s.byKey = true
			}
		}
	}
	s.collect(root)
	return s
}

func (s *secrets) collect(v *hocon.Value) {
	switch v.Kind() {
	case hocon.Object:
		for _, key := range v.Keys() {
			child, _ := v.Get(key)
			s.collect(child)
		}
	case hocon.Array:
		for _, element := range v.Elements() {
			s.collect(element)
		}
	case hocon.String, hocon.Number:
		text, _ := v.String()
		if s.byKey && secretKey.MatchString(v.Path()) {
			s.add(text)
		}
		for _, form := range []*regexp.Regexp{inUserInfo, inParameter} {
			for _, found := range form.FindAllStringSubmatch(text, -1) {
				s.add(found[2])
			}
		}
	}
}

// add takes note of a secret as it is written, and as it is meant.
func (s *secrets) add(secret string) {
	if plain, err := url.PathUnescape(secret); err == nil && plain != secret {
		s.add(plain)
	}
	if len(secret) >= shortest {
		s.values = append(s.values, secret)
	}
}

// mask is a value's text without its secrets.
func (s *secrets) mask(v *hocon.Value, text string) string {
	if s.byKey && secretKey.MatchString(v.Path()) {
		return mask
	}
	text = inUserInfo.ReplaceAllString(text, "$1:"+mask+"@")
	text = inParameter.ReplaceAllString(text, "$1="+mask)
	if s.byKey {
		for _, secret := range s.values {
			text = strings.ReplaceAll(text, secret, mask)
		}
	}
	return text
}
