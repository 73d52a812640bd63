package owner

import (
	"encoding/xml"
	"strings"
	"time"
)

// MetadataNamespace marks this provider's element in the metadata of a domain.
const MetadataNamespace = "https://github.com/overcast-go/overcast/xmlns/clone/1"

// metadataVersion is that of the element's content. A reader that does not
// know it leaves the domain alone.
const metadataVersion = 1

// javaNamespace marks the element that Overcast for Java puts into the
// metadata of domains that it has made: its clones, and the provisioned domains
// that it keeps to clone them again.
const javaNamespace = "http://www.xebialabs.com/overcast/metadata/v1"

// metadata is this provider's element: what a domain is and whose.
type Metadata struct {
	XMLName xml.Name         `xml:"https://github.com/overcast-go/overcast/xmlns/clone/1 clone"`
	Version int              `xml:"version,attr"`
	Name    string           `xml:"name,attr"` // of the domain: a copy that a person makes of it has another
	Parent  string           `xml:"parent"`
	Label   string           `xml:"label"`
	Owner   metadataOwner    `xml:"owner"`
	Created time.Time        `xml:"created"`
	Lease   metadataLease    `xml:"lease"`
	Address *MetadataAddress `xml:"address"`
	Kept    *MetadataKeeping `xml:"kept"`
}

type metadataOwner struct {
	Host    string `xml:"host,attr"`
	Boot    string `xml:"boot,attr"`
	Space   string `xml:"pids,attr"`
	PID     int    `xml:"process,attr"`
	Started uint64 `xml:"started,attr"`
	Run     string `xml:"run,attr"`
}

// metadataLease says until when an owner is believed to be alive that nobody
// can look after.
type metadataLease struct {
	Renewed time.Time `xml:"renewed,attr"`
	Seconds int       `xml:"seconds,attr"`
}

// metadataAddress is the address that a clone was found at.
type MetadataAddress struct {
	Network string `xml:"network,attr"` // of the interface: its bridge, or its name
	IP      string `xml:",chardata"`
}

// metadataKeeping says that the clone was left for a person to look at.
type MetadataKeeping struct {
	Since time.Time `xml:"since,attr"`
}

func NewMetadata(name, parent, label string, lease time.Duration) *Metadata {
	now := time.Now().UTC().Truncate(time.Second)
	return &Metadata{
		Version: metadataVersion, Name: name, Parent: parent, Label: label,
		Owner: metadataOwner(Self()), Created: now,
		Lease: metadataLease{Renewed: now, Seconds: int(lease.Seconds())},
	}
}

// text is the element; strings, numbers and times cannot fail to be written.
func (m *Metadata) Text() string {
	text, _ := xml.Marshal(m)
	return string(text)
}

// leaseOver says whether the owner has had its time to renew the lease.
func (m *Metadata) LeaseOver(now time.Time) bool {
	return now.After(m.Lease.Renewed.Add(time.Duration(m.Lease.Seconds) * time.Second))
}

// parseMetadata finds this provider's element in the metadata of a domain. It
// is nil where there is none, and where it belongs to another domain: one that
// a person has copied from a clone is the person's.
func ParseMetadata(domain, inner string) *Metadata {
	for _, element := range elements(inner) {
		if element.space != MetadataNamespace {
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

// javaMetadata is the element of Overcast for Java.
type JavaMetadata struct {
	Parent      string `xml:"parent_domain"`
	Provisioned string `xml:"provisioned_with"`
	Created     string `xml:"creation_time"`
}

// parseJavaMetadata finds the element of Overcast for Java, or nil.
func ParseJavaMetadata(inner string) *JavaMetadata {
	for _, element := range elements(inner) {
		var found JavaMetadata
		if element.space == javaNamespace && xml.Unmarshal([]byte(element.text), &found) == nil {
			return &found
		}
	}
	return nil
}

// inheritedMetadata is what a clone takes over of its base's metadata: all but
// the elements that say who made the base.
func InheritedMetadata(inner string) string {
	var kept strings.Builder
	for _, element := range elements(inner) {
		if element.space != MetadataNamespace && element.space != javaNamespace {
			kept.WriteString(element.text)
		}
	}
	return kept.String()
}

// element is one of a domain's metadata, as it is written there.
type element struct{ space, text string }

// elements takes the content of <metadata> apart. Content that is not
// well-formed has none: libvirt lets none in.
func elements(inner string) []element {
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
