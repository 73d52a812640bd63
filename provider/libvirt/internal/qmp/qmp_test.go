package qmp

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDecode(t *testing.T) {
	var jobs []struct{ ID, Status string }
	require.NoError(t, decode("query-jobs", `{"return":[{"status":"concluded","id":"a"}],"id":"libvirt-9"}`, &jobs))
	assert.Equal(t, "concluded", jobs[0].Status)
	require.NoError(t, decode("job-dismiss", `{"return":{}}`, nil))

	err := decode("snapshot-save", `{"error":{"class":"CommandNotFound","desc":"The command snapshot-save has not been found"}}`, nil)
	require.EqualError(t, err, "snapshot-save: The command snapshot-save has not been found")
	assert.True(t, IsUnknownCommand(err))
	err = decode("job-dismiss", `{"error":{"class":"GenericError","desc":"Job not found"}}`, nil)
	require.Error(t, err)
	assert.False(t, IsUnknownCommand(err))
	require.ErrorContains(t, decode("query-jobs", `no JSON`, nil), "query-jobs: reading the answer of QEMU")
}
