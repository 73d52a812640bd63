package provider

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCachePolicy(t *testing.T) {
	yes, no := true, false
	t.Setenv(cacheVariable, "")
	assert.Equal(t, CacheOff, Settings{}.CachePolicy())
	tagged := Settings{Provision: Provision{ExpirationTag: ExpirationTag{Cmd: "a"}}}
	assert.Equal(t, CacheOn, tagged.CachePolicy())
	tagged.Provision.Cache = &no
	assert.Equal(t, CacheOff, tagged.CachePolicy())
	tagged.Provision.Cache = &yes
	assert.Equal(t, CacheOn, tagged.CachePolicy())
	t.Setenv(cacheVariable, CacheRefresh)
	assert.Equal(t, CacheRefresh, tagged.CachePolicy())
	assert.Equal(t, CacheOff, Settings{}.CachePolicy())
	require.NoError(t, checkCacheMode())
	t.Setenv(cacheVariable, "always")
	require.EqualError(t, checkCacheMode(), `OVERCAST_CACHE is "always": must be one of off, refresh`)
}
