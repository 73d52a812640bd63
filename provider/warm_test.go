package provider

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWarmPolicy(t *testing.T) {
	t.Setenv(cacheVariable, "")
	no := false
	assert.False(t, Settings{}.WarmPolicy())
	assert.True(t, Settings{Warm: &Warm{}}.WarmPolicy(), "a section without enabled")
	assert.False(t, Settings{Warm: &Warm{Enabled: &no}}.WarmPolicy())
	t.Setenv(cacheVariable, CacheOff)
	assert.False(t, Settings{Warm: &Warm{}}.WarmPolicy())
}
