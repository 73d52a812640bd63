package cloudinit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/kdomanski/iso9660"
)

// label is the one by which cloud-init finds the seed.
const label = "cidata"

// Build writes the seed for a clone as an ISO 9660 image. The image contains private
// keys: do not make it readable for other users. Build fails with a [*ConfigError]
// if cloud-init could not use the configuration.
func Build(w io.Writer, c Config) error {
	files, err := c.files()
	if err != nil {
		return fmt.Errorf("building the cloud-init seed: %w", err)
	}
	if err := writeISO(w, files); err != nil {
		return fmt.Errorf("building the cloud-init seed: %w", err)
	}
	return nil
}

// files returns the content of each file of the seed by its name.
func (c Config) files() (map[string][]byte, error) {
	if c.InstanceID == "" {
		c.InstanceID = NewInstanceID()
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if len(c.User.AuthorizedKeys) == 0 {
		return nil, &ConfigError{"cloudInit.authorizedKeys", "no key is given, so that no login would be possible"}
	}
	userData, err := c.userData()
	if err != nil {
		return nil, err
	}
	metaData, err := encode(struct {
		InstanceID string `json:"instance-id"`
		Hostname   string `json:"local-hostname"`
	}{c.InstanceID, c.Hostname})
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"meta-data": metaData, "user-data": userData}
	if len(bytes.TrimSpace(c.NetworkConfig)) > 0 {
		files["network-config"] = c.NetworkConfig
	}
	return files, nil
}

// encode writes YAML in its form that is also JSON.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	to := json.NewEncoder(&b)
	to.SetEscapeHTML(false)
	to.SetIndent("", "  ")
	err := to.Encode(value)
	return b.Bytes(), err
}

// writeISO writes an image with the files. The library stages them in a temporary
// folder that only the user can read.
func writeISO(w io.Writer, files map[string][]byte) (err error) {
	image, err := iso9660.NewWriter()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, image.Cleanup()) }()
	for name, content := range files {
		if err := image.AddFile(bytes.NewReader(content), name); err != nil {
			return err
		}
	}
	return image.WriteTo(w, label)
}
