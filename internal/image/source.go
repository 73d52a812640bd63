package image

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/redact"
)

// Kind is where an image is kept.
type Kind int

const (
	// File is a file of this machine.
	File Kind = iota + 1
	// URL is a file on an HTTP or HTTPS server.
	URL
	// Volume is a volume in a storage pool of the hypervisor.
	Volume
)

// NoDigest is the value of sha256 that turns off the verification of a download.
const NoDigest = "none"

// Source says where an image comes from. Its methods and verbs of package fmt
// never show the secrets of a URL.
type Source struct {
	Kind Kind
	// Path is the absolute path of a File. For a Volume that was written as a
	// string, it is the path where no file was found.
	Path string
	// Pool and Volume name a Volume.
	Pool, Volume string
	// SHA256 is the digest that the file of a URL must have, in lower-case
	// hexadecimal digits. It is empty if the digest was given as "none".
	SHA256 string

	// url is a function because package fmt does not call methods on unexported
	// fields: there it prints the address of a function, but a URL in full.
	url func() *url.URL
}

// FileSource returns the source for a local file. A relative path is relative to
// the current folder.
func FileSource(path string) (Source, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Source{}, fmt.Errorf("image %s: %w", path, err)
	}
	return Source{Kind: File, Path: path}, nil
}

// URLSource returns the source for an HTTP or HTTPS URL and the digest of the
// file there, which is 64 hexadecimal digits or [NoDigest].
func URLSource(rawURL, sha256 string) (Source, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The reason that url.Parse gives may quote a part of the password.
		return Source{}, errors.New("url: not a valid URL: percent-encode special characters in its user, password, path and query")
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return Source{}, fmt.Errorf("url: %s is not a URL of http or https", redact.URL(u))
	}
	if sha256 == NoDigest {
		return Source{Kind: URL, url: func() *url.URL { return u }}, nil
	}
	digest, err := parseDigest(sha256)
	if err != nil {
		return Source{}, err
	}
	return Source{Kind: URL, SHA256: digest, url: func() *url.URL { return u }}, nil
}

func parseDigest(text string) (string, error) {
	if text == "" {
		return "", errors.New(`sha256 is missing: give the SHA-256 digest of the file, or write sha256 = none to accept any content`)
	}
	digest, err := hex.DecodeString(text)
	if err != nil || len(digest) != 32 {
		return "", fmt.Errorf("sha256: %q is neither 64 hexadecimal digits nor none", text)
	}
	return hex.EncodeToString(digest), nil
}

// VolumeSource returns the source for a volume of the hypervisor, written as
// pool/volume. The pool ends at the first slash.
func VolumeSource(name string) (Source, error) {
	pool, volume, _ := strings.Cut(name, "/")
	if pool == "" || volume == "" {
		return Source{}, fmt.Errorf("volume: %q is not of the form pool/volume", name)
	}
	return Source{Kind: Volume, Pool: pool, Volume: volume}, nil
}

// Parse reads a source from the value of the configuration key image. An object
// says itself what it is:
//
//	image = { url = "https://example.org/debian.qcow2", sha256 = "5f70..." }
//	image = { volume = "default/debian.qcow2" }
//
// A string is a local file or a volume. These rules apply in this order:
//
//  1. A string with :// is refused: a URL needs the object form for its digest.
//  2. A string that starts with /, ./, ../ or ~/ is a local file.
//  3. NAME/NAME, with one slash, is a volume of the hypervisor, unless dir
//     contains a folder with the first name: then it is a local file.
//  4. Any other string is a local file.
//
// So "images/debian.qcow2" is a local file where dir has a folder images, whether
// or not the file exists, and "./images/debian.qcow2" is one everywhere. Relative
// paths are relative to dir. All errors are of type *[hocon.ValueError].
func Parse(v *hocon.Value, dir string) (Source, error) {
	source, err := parse(v, dir)
	var invalid hocon.Error
	if err != nil && !errors.As(err, &invalid) {
		err = &hocon.ValueError{Pos: v.Position(), Path: v.Path(), Msg: err.Error(), Err: err}
	}
	return source, err
}

func parse(v *hocon.Value, dir string) (Source, error) {
	switch v.Kind() {
	case hocon.String:
		var text string
		if err := v.Decode(&text); err != nil {
			return Source{}, err
		}
		return parseText(text, dir)
	case hocon.Object:
		return parseObject(v)
	}
	return Source{}, fmt.Errorf(`a value of type %s is not an image: write a path, "pool/volume", { url, sha256 } or { volume }`, v.Kind())
}

func parseObject(v *hocon.Value) (Source, error) {
	var object struct {
		URL    *string `hocon:"url,secret"`
		SHA256 string  `hocon:"sha256"`
		Volume *string `hocon:"volume"`
	}
	if err := v.Decode(&object); err != nil {
		return Source{}, err
	}
	switch {
	case object.URL != nil && object.Volume == nil:
		return URLSource(*object.URL, object.SHA256)
	case object.URL == nil && object.Volume != nil && object.SHA256 == "":
		return VolumeSource(*object.Volume)
	}
	return Source{}, errors.New("an image is either { url, sha256 } or { volume }")
}

func parseText(text, dir string) (Source, error) {
	switch {
	case text == "":
		return Source{}, errors.New("an empty string is not an image")
	case strings.Contains(text, "://"):
		return Source{}, errors.New(`a URL needs the digest of its file: write { url = "https://...", sha256 = "..." }, or sha256 = none to accept any content`)
	}
	path, err := localPath(text, dir)
	if err != nil {
		return Source{}, err
	}
	if isVolumeName(text, dir) {
		source, err := VolumeSource(text)
		source.Path = path
		return source, err
	}
	return Source{Kind: File, Path: path}, nil
}

func localPath(text, dir string) (string, error) {
	if below, ok := strings.CutPrefix(text, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("resolving ~: %w", err)
		}
		return filepath.Join(home, below), nil
	}
	if !filepath.IsAbs(text) {
		text = filepath.Join(dir, text)
	}
	return filepath.Abs(text)
}

func isVolumeName(text, dir string) bool {
	first, second, _ := strings.Cut(text, "/")
	if first == "" || first == "." || first == ".." || first == "~" || second == "" || strings.Contains(second, "/") {
		return false
	}
	info, err := os.Stat(filepath.Join(dir, first))
	return err != nil || !info.IsDir()
}

// String returns the path, the URL without its secrets, or pool/volume.
func (s Source) String() string {
	switch s.Kind {
	case File:
		return s.Path
	case URL:
		return redact.URL(s.url())
	case Volume:
		return s.Pool + "/" + s.Volume
	}
	return "no image"
}

// Format prints the source as [Source.String] for all verbs, so that none
// shows the secrets of a URL.
func (s Source) Format(to fmt.State, _ rune) { fmt.Fprint(to, s.String()) }

// GomegaString is [Source.String]. Gomega would print the URL otherwise.
func (s Source) GomegaString() string { return s.String() }
