package storage

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestVolumesThatDomainsAndVolumesUse(t *testing.T) {
	named := func(_, metadata string) []VolumeRef {
		if metadata == "" {
			return nil
		}
		return []VolumeRef{{"default", metadata}}
	}
	of := func(u Users, name string) []User {
		return u.Of(VolumeRef{"default", name}, "/images/a & b/"+name)
	}
	for name, disk := range map[string]string{
		"a path with escaped characters": `<disk type='file'><source file='/images/a &amp; b/v.qcow2'/></disk>`,
		"a volume":                       `<disk type='volume'><source pool='default' volume='v.qcow2'/></disk>`,
		"a backing file":                 `<disk type='file'><source file='/images/top.qcow2'/><backingStore type='file'><format type='qcow2'/><source file='/images/mid.qcow2'/><backingStore type='file'><format type='qcow2'/><source file='/images/a &amp; b/v.qcow2'/></backingStore></backingStore></disk>`,
	} {
		t.Run(name, func(t *testing.T) {
			u := newUsers(named)
			for _, domain := range []string{"mine", "mine", "yours"} { // a domain has two definitions
				u.addDomain(domain, `<domain type='kvm'><name>`+domain+`</name><devices>`+disk+`</devices></domain>`)
			}
			assert.Equal(t, []User{{Name: "mine"}, {Name: "yours"}}, of(u, "v.qcow2"))
			assert.Empty(t, of(u, "v.qcow"), "a name that another one begins with")
		})
	}
	u := newUsers(named)
	u.addVolume("default", `<volume><name>snapshot.qcow2</name><backingStore><path>/images/a &amp; b/v.qcow2</path></backingStore></volume>`)
	assert.Equal(t, []User{{Name: "snapshot.qcow2", Pool: "default"}}, of(u, "v.qcow2"))
	assert.Equal(t, `volume "snapshot.qcow2" in pool default`, of(u, "v.qcow2")[0].String())
	u.addDomain("mine", `<domain><name>mine</name><devices><disk type='volume'><source pool='other' volume='v.qcow2'/></disk></devices></domain>`)
	assert.Len(t, of(u, "v.qcow2"), 1, "a volume of the same name in another pool")
	u.addDomain("slot", `<domain><name>slot</name><metadata>memory.raw</metadata></domain>`)
	assert.Equal(t, []User{{Name: "slot"}}, of(u, "memory.raw"), "a volume that metadata names")
}
