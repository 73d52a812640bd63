package libvirt

import (
	"testing"

	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInstanceTellsWhatItIsACloneOf(t *testing.T) {
	config, err := decode(t, `nat_host { baseDomain = my_base_domain }`)
	require.NoError(t, err)
	var made provider.Instance = &instance{config: config}
	clone, ok := made.(provider.Cloned)
	require.True(t, ok)
	assert.Equal(t, "my_base_domain", clone.BaseDomain())
}
