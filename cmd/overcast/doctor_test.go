package main

import (
	"testing"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient/credentials"
	"github.com/stretchr/testify/assert"
)

func TestAdviceIsNotMasked(t *testing.T) {
	for _, err := range []error{credentials.ErrKeyEncrypted} {
		assert.Equal(t, err.Error(), redact.Text(err.Error()))
	}
}

func TestDoctorSkipsTemplatesAndChecksAllLabels(t *testing.T) {
	const conf = `template { connection.url = "ssh://root@{0}" }
one = ${template} { libvirtURL = "test:///default", libvirtBaseDomain = test }
two = ${template} { libvirtURL = "test:///default", libvirtBaseDomain = missing }`
	code, out, _ := overcast(t, conf, "doctor")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `(?m)^FAILED  one: base domain: base domain "test" at test:///default is running`, out)
	assert.Regexp(t, `(?m)^FAILED  two: base domain: base domain "missing" does not exist`, out)
	assert.NotContains(t, out, "template")
	code, out, _ = overcast(t, conf, "doctor", "two", "one")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `(?s)FAILED  two: .*FAILED  one: `, out)
}
