package virt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestErrorOfAMissingBaseNamesTheNearestDomainAndNoneOfOvercast(t *testing.T) {
	for _, c := range []struct {
		defined []string
		says    string
	}{
		{
			[]string{"web", "my_base_domain", "overcast-my_base_domian-1", "overcast-layer-1"},
			`, did you mean "my_base_domain"? (defined there: my_base_domain, web): check libvirtBaseDomain and libvirtURL`,
		},
		{[]string{"web"}, ` (defined there: web): check libvirtBaseDomain and libvirtURL`},
		{[]string{"overcast-layer-1"}, ` (no domain to clone is defined there): check libvirtBaseDomain and libvirtURL`},
	} {
		url := testDriver(t, c.defined...)
		on, release, err := NewConnections().Acquire(t.Context(), url)
		require.NoError(t, err)
		_, err = ReadBase(on.Conn, url, "my_base_domian", "overcast-")
		release()
		var missing *BaseMissingError
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, `base domain "my_base_domian" does not exist at `+url+c.says, err.Error())
	}
}

// testDriver returns a URL of libvirt's test driver with domains that are shut off.
func testDriver(t *testing.T, names ...string) string {
	t.Helper()
	var node strings.Builder
	node.WriteString(`<node xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>`)
	for _, name := range names {
		node.WriteString(`<domain type='test'><name>` + name + `</name><memory>1024</memory><os><type>hvm</type></os><test:runstate>5</test:runstate></domain>`)
	}
	node.WriteString(`</node>`)
	path := filepath.Join(t.TempDir(), "node.xml")
	require.NoError(t, os.WriteFile(path, []byte(node.String()), 0o600))
	return "test://" + path
}
