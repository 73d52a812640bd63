package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading      = regexp.MustCompile(`(?m)^#+ (.*)$`)
	sourceFile   = regexp.MustCompile("`([a-z]+/[\\w./]+\\.(?:go|sh))`")
	makeTarget   = regexp.MustCompile("(?m)(?:`|^    )make ([a-z][a-z-]*)")
	notInAnchor  = regexp.MustCompile(`[^\w\- ]`)
)

// anchors returns the names by which a link can name the headings of a guide.
func anchors(text string) map[string]bool {
	names := map[string]bool{}
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		name := notInAnchor.ReplaceAllString(strings.ToLower(found[1]), "")
		names[strings.ReplaceAll(name, " ", "-")] = true
	}
	return names
}

func TestLinksOfGuidesLeadToFilesAndHeadings(t *testing.T) {
	checked := 0
	for _, guide := range guides(t) {
		text, err := os.ReadFile(guide)
		require.NoError(t, err)
		for _, found := range markdownLink.FindAllStringSubmatch(string(text), -1) {
			path, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := guide
			if path != "" {
				target = filepath.Join(filepath.Dir(guide), path)
			}
			_, err := os.Stat(target)
			assert.NoError(t, err, "%s: link %s", guide, found[1])
			if anchor != "" && err == nil {
				other, err := os.ReadFile(target)
				require.NoError(t, err)
				assert.Contains(t, anchors(string(other)), anchor, "%s: link %s", guide, found[1])
			}
			checked++
		}
	}
	assert.Greater(t, checked, 50)
}

func TestFilesAndMakeTargetsThatGuidesNameExist(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	for _, guide := range guides(t) {
		text, err := os.ReadFile(guide)
		require.NoError(t, err)
		for _, found := range sourceFile.FindAllStringSubmatch(string(text), -1) {
			assert.FileExists(t, filepath.Join("..", found[1]), "%s names it", guide)
		}
		for _, found := range makeTarget.FindAllStringSubmatch(string(text), -1) {
			assert.Regexp(t, `(?m)^`+found[1]+`:`, string(makefile), "%s names make %s", guide, found[1])
		}
	}
}
