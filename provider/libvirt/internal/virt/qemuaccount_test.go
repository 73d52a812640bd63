package virt

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAccountOfQEMUIsParsedFromASecurityLabel(t *testing.T) {
	assert.Equal(t, &QEMUAccount{UID: 64055, GID: 107}, parseQEMUAccount("+64055:+107"))
	assert.Equal(t, &QEMUAccount{UID: 0, GID: 0}, parseQEMUAccount("0:0"))
	assert.Nil(t, parseQEMUAccount("qemu:qemu"))
	assert.Nil(t, parseQEMUAccount(""))
}
