package layers

import (
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Kinds of layers.
const (
	KindImage       = "image"       // an imported image
	KindProvisioned = "provisioned" // a machine that was provisioned and shut down
	KindWarm        = "warm"        // a machine whose memory was saved
	KindJava        = "java"        // a machine that Overcast for Java has provisioned and shut down
)

// Key identifies the content of a layer: 64 hexadecimal digits.
type Key string

// NewKey is the key for parts that determine the content of a layer.
func NewKey(parts ...string) Key {
	sum := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(sum, "%d %s\n", len(part), part)
	}
	return Key(fmt.Sprintf("%x", sum.Sum(nil)))
}

// Short is the part of the key that is shown to users.
func (k Key) Short() string { return string(k[:12]) }

// Domain is the name of the layer's domain.
func (k Key) Domain() string { return owner.NamePrefix + "layer-" + k.Short() }

// UUID is the UUID of the layer's domain.
func (k Key) UUID() string { return domainxml.Seed("layer " + string(k)).UUID() }

// metadataVersion is that of the content of the element. Layers with another one
// are not used.
const metadataVersion = 1

// Metadata is the element of a layer in the metadata of its domain.
type Metadata struct {
	XMLName xml.Name  `xml:"https://github.com/overcast-go/overcast/xmlns/layer/1 layer"`
	Version int       `xml:"version,attr"`
	Name    string    `xml:"name,attr"` // of the domain: a copy by a user has another
	Kind    string    `xml:"kind"`
	Key     Key       `xml:"key"`
	Parent  string    `xml:"parent"` // name of the base domain or layer, or the file of an image
	Label   string    `xml:"label"`  // of the host that it was built for
	Created time.Time `xml:"created"`
	Used    time.Time `xml:"used"`  // last
	Bytes   uint64    `xml:"bytes"` // on disk, when it was built
	// Provisioned is how many seconds provisioning took, and for a warm slot the whole
	// set-up. It is 0 for an image.
	Provisioned float64 `xml:"provisionedSeconds,omitempty"`
	Warm        *Warm   `xml:"warm"` // of a warm slot
}

// newMetadata describes a layer that is built now.
func newMetadata(kind string, key Key, parent, label string, bytes uint64) *Metadata {
	now := time.Now().UTC().Truncate(time.Second)
	return &Metadata{Version: metadataVersion, Name: key.Domain(), Kind: kind, Key: key, Parent: parent, Label: label, Created: now, Used: now, Bytes: bytes}
}

// ProvisioningTime is how long provisioning took when the layer was built.
func (m *Metadata) ProvisioningTime() time.Duration {
	return time.Duration(m.Provisioned * float64(time.Second))
}

// text is the element; its types can always be encoded.
func (m *Metadata) text() string {
	text, _ := xml.Marshal(m)
	return string(text)
}

// parseMetadata returns the element of a layer, or nil if the domain is none.
func parseMetadata(domain, inner string) *Metadata {
	text := owner.FindElement(inner, owner.LayerNamespace)
	var found Metadata
	if text == "" || xml.Unmarshal([]byte(text), &found) != nil || found.Version != metadataVersion || found.Name != domain || len(found.Key) != 2*sha256.Size {
		return nil
	}
	return &found
}

// Layer is one that is published.
type Layer struct {
	Metadata
	Definition *libvirtxml.Domain // inactive
	State      string             // of its domain, as virsh shows it; "" if it is shut off
}

// ErrGone means that a layer has been removed or replaced.
var ErrGone = errors.New("the layer has been removed")

// CheckShutOff fails with a *[virt.BaseRunningError] if the domain of the layer has been
// started: its disks change, so that they cannot be used, and may not be removed.
func (l *Layer) CheckShutOff(url string) error {
	if l.State == "" {
		return nil
	}
	return &virt.BaseRunningError{URL: url, Domain: l.Name, State: l.State}
}

// Find returns the layer with a key, or nil if there is none.
func Find(conn *libvirt.Connect, key Key) (*Layer, error) {
	domain, err := conn.LookupDomainByUUIDString(key.UUID())
	if virt.IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking up layer %s: %w", key.Short(), virt.StripCodes(err))
	}
	defer domain.Free()
	l, err := read(domain)
	if err != nil || l == nil || l.Key != key {
		return nil, err
	}
	return l, nil
}

// read returns nil for a domain that is not a layer, or is gone.
func read(domain *libvirt.Domain) (*Layer, error) {
	definition, err := virt.ReadDefinition(domain, libvirt.DOMAIN_XML_INACTIVE|libvirt.DOMAIN_XML_SECURE)
	if virt.IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the definition of a layer: %w", virt.StripCodes(err))
	}
	if definition.Metadata == nil {
		return nil, nil
	}
	m := parseMetadata(definition.Name, definition.Metadata.XML)
	if m == nil {
		return nil, nil
	}
	state, err := virt.BaseState(domain)
	if virt.IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state of a layer: %w", virt.StripCodes(err))
	}
	return &Layer{Metadata: *m, Definition: definition, State: state}, nil
}

// current returns the layer as it is now, or nil if it has been removed or replaced: a
// layer that was built again has the same key, and other volumes.
func (l *Layer) current(conn *libvirt.Connect) (*Layer, error) {
	now, err := Find(conn, l.Key)
	if err != nil || now == nil || !maps.Equal(now.volumes(), l.volumes()) {
		return nil, err
	}
	return now, nil
}

// Touch records that a layer is used now. It fails with [ErrGone] if the layer has been
// removed or replaced.
func (l *Layer) Touch(conn *libvirt.Connect) error {
	now, err := l.current(conn)
	if err == nil && now == nil {
		err = ErrGone
	}
	if err != nil {
		return err
	}
	domain, err := conn.LookupDomainByUUIDString(l.Key.UUID())
	if virt.IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return ErrGone
	}
	if err != nil {
		return virt.StripCodes(err)
	}
	defer domain.Free()
	l.Used = time.Now().UTC().Truncate(time.Millisecond)
	return virt.StripCodes(domain.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, l.text(), "overcast", owner.LayerNamespace, libvirt.DOMAIN_AFFECT_CONFIG))
}

// publish defines the domain of a layer. If another machine has published the layer
// meanwhile, it returns that one.
func publish(conn *libvirt.Connect, definition *libvirtxml.Domain, m *Metadata) (*Layer, error) {
	if found, err := Find(conn, m.Key); err != nil || found != nil {
		return found, err
	}
	inherited := ""
	if definition.Metadata != nil {
		inherited = owner.InheritedMetadata(definition.Metadata.XML)
	}
	definition.Name, definition.UUID, definition.Title, definition.ID = m.Name, m.Key.UUID(), "", nil
	definition.Metadata = &libvirtxml.DomainMetadata{XML: inherited + m.text()}
	text, err := definition.Marshal()
	if err != nil {
		return nil, err
	}
	domain, err := conn.DomainDefineXML(text)
	if err != nil {
		return nil, fmt.Errorf("defining domain %s: %w", m.Name, virt.StripCodes(err))
	}
	defer domain.Free()
	l, err := read(domain)
	if err == nil && l == nil {
		err = fmt.Errorf("domain %s was removed while its layer was published", m.Name)
	}
	return l, err
}
