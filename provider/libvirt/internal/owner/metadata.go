package owner

import (
	"encoding/xml"
	"slices"
	"strings"
	"time"
)

// MetadataNamespace is the namespace of overcast's element in the metadata of a domain.
const MetadataNamespace = "https://github.com/overcast-go/overcast/xmlns/clone/1"

// LayerNamespace marks the element of a layer in the metadata of its domain.
const LayerNamespace = "https://github.com/overcast-go/overcast/xmlns/layer/1"

// metadataVersion is the version of the element. A reader ignores an element with
// another version.
const metadataVersion = 1

// javaNamespace is the namespace of the element in the metadata of the domains that
// Overcast for Java has created: its clones, and the provisioned domains that it keeps
// as bases.
const javaNamespace = "http://www.xebialabs.com/overcast/metadata/v1"

// Metadata is overcast's element in the metadata of a domain.
type Metadata struct {
	XMLName xml.Name         `xml:"https://github.com/overcast-go/overcast/xmlns/clone/1 clone"`
	Version int              `xml:"version,attr"`
	Name    string           `xml:"name,attr"` // of the domain: a copy of the domain has another name
	Parent  string           `xml:"parent"`
	Label   string           `xml:"label"`
	Owner   metadataOwner    `xml:"owner"`
	Created time.Time        `xml:"created"`
	Lease   metadataLease    `xml:"lease"`
	Address *MetadataAddress `xml:"address"`
	Kept    *MetadataKept    `xml:"kept"`
}

type metadataOwner struct {
	Host    string `xml:"host,attr"`
	Machine string `xml:"machine,attr"`
	PID     int    `xml:"process,attr"`
	Started uint64 `xml:"started,attr"`
	Random  string `xml:"random,attr,omitempty"`
	Run     string `xml:"run,attr"`
}

// metadataLease is the ownership lease. After it has expired, an owner that cannot be
// seen counts as ended.
type metadataLease struct {
	Renewed time.Time `xml:"renewed,attr"`
	Seconds int       `xml:"seconds,attr"`
}

// MetadataAddress is the address that a clone was found at.
type MetadataAddress struct {
	Network string `xml:"network,attr"` // of the interface: its bridge, or its name
	IP      string `xml:",chardata"`
}

// MetadataKept marks a clone that was left for inspection.
type MetadataKept struct {
	Since time.Time `xml:"since,attr"`
}

// NewMetadata returns the metadata of a clone of this process, with a lease that
// starts now.
func NewMetadata(name, parent, label string, lease time.Duration) *Metadata {
	now := time.Now().UTC().Truncate(time.Second)
	return &Metadata{
		Version: metadataVersion, Name: name, Parent: parent, Label: label,
		Owner: metadataOwner(Announced()), Created: now,
		Lease: metadataLease{Renewed: now, Seconds: int(lease.Seconds())},
	}
}

// SetOwner sets the process that owns the clone.
func (m *Metadata) SetOwner(by Process) { m.Owner = metadataOwner(by) }

// XML returns the element.
func (m *Metadata) XML() string {
	text, _ := xml.Marshal(m) // strings, numbers and times cannot fail
	return string(text)
}

// maxClockError is how far the clocks of two machines may differ.
const maxClockError = 24 * time.Hour

// isLongExpired reports whether the owner has not renewed the lease in time, whatever
// the difference between its clock and this machine's.
func (m *Metadata) isLongExpired(now time.Time) bool {
	return now.After(m.Lease.Renewed.Add(m.lease() + maxClockError))
}

// maxLeaseSeconds limits the lease that is read from metadata: a longer one would not fit
// a [time.Duration] and count as expired.
const maxLeaseSeconds = 1 << 31

func (m *Metadata) lease() time.Duration {
	return time.Duration(min(max(m.Lease.Seconds, 0), maxLeaseSeconds)) * time.Second
}

// ParseMetadata finds overcast's element in the metadata of a domain. It returns nil
// if there is none, or if it names another domain: a copy of a clone is not
// overcast's.
func ParseMetadata(domain, inner string) *Metadata {
	for _, element := range parseElements(inner) {
		if element.namespace != MetadataNamespace {
			continue
		}
		var found Metadata
		if xml.Unmarshal([]byte(element.text), &found) != nil || found.Version != metadataVersion || found.Name != domain {
			return nil
		}
		return &found
	}
	return nil
}

// JavaMetadata is the metadata element of Overcast for Java.
type JavaMetadata struct {
	Parent      string `xml:"parent_domain"`
	Provisioned string `xml:"provisioned_with"`
	Created     string `xml:"creation_time"`
}

// ParseJavaMetadata finds the element of Overcast for Java, or nil.
func ParseJavaMetadata(inner string) *JavaMetadata {
	for _, element := range parseElements(inner) {
		var found JavaMetadata
		if element.namespace == javaNamespace && xml.Unmarshal([]byte(element.text), &found) == nil {
			return &found
		}
	}
	return nil
}

// InheritedMetadata returns the metadata that a clone inherits from its base: all
// elements except those of overcast and Overcast for Java.
func InheritedMetadata(inner string) string {
	var kept strings.Builder
	for _, element := range parseElements(inner) {
		if !slices.Contains([]string{MetadataNamespace, LayerNamespace, javaNamespace}, element.namespace) {
			kept.WriteString(element.text)
		}
	}
	return kept.String()
}

// FindElement returns the text of the first element of a namespace in the metadata
// of a domain, or "".
func FindElement(inner, namespace string) string {
	for _, element := range parseElements(inner) {
		if element.namespace == namespace {
			return element.text
		}
	}
	return ""
}

// element is an element of a domain's metadata, as its text.
type element struct{ namespace, text string }

// parseElements splits the content of <metadata>, which libvirt keeps well-formed.
func parseElements(inner string) []element {
	var found []element
	decoder := xml.NewDecoder(strings.NewReader(inner))
	for {
		start := decoder.InputOffset()
		token, err := decoder.Token()
		if err != nil {
			return found
		}
		opening, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if decoder.Skip() != nil {
			return found
		}
		found = append(found, element{opening.Name.Space, inner[start:decoder.InputOffset()]})
	}
}
