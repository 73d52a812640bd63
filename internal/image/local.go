package image

import "os"

// openRegular opens a file for reading. Pipes and devices are refused before they
// are opened: they could block.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &FormatError{Path: path, Problem: "it is not a regular file"}
	}
	return os.Open(path)
}
