package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestConfigOfTheConformanceCorpus runs the command on the cases in the folder
// that HOCON_CORPUS names. It expects the document, or exit code 1 and a
// position. The tests of package hocon give more details of a failure.
func TestConfigOfTheConformanceCorpus(t *testing.T) {
	corpus := os.Getenv("HOCON_CORPUS")
	if corpus == "" {
		t.Skip("HOCON_CORPUS is not set to the folder of the corpus")
	}
	inputs := filepath.Join(corpus, "testdata", "hocon")
	results := filepath.Join(corpus, "expected", "hocon")
	require.NoError(t, filepath.WalkDir(results, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, rejected := strings.CutSuffix(path, "-expected-error.json")
		if !rejected {
			name, rejected = strings.CutSuffix(path, ".error")
		}
		if !rejected {
			name = strings.TrimSuffix(path, "-expected.json")
		}
		relative, err := filepath.Rel(results, name)
		require.NoError(t, err)
		t.Run(relative, func(t *testing.T) { corpusCase(t, filepath.Join(inputs, relative), path, rejected) })
		return nil
	}))
}

func corpusCase(t *testing.T, input, result string, rejected bool) {
	for _, extension := range []string{".conf", ".json", ".properties"} {
		if _, err := os.Stat(input + extension); err == nil {
			setEnvironment(t, input+".env")
			input += extension
			break
		}
	}
	var stdout, stderr bytes.Buffer
	code := run([]string{"config", "--json", input}, &stdout, &stderr)
	if rejected {
		assert.Equal(t, 1, code)
		assert.Empty(t, stdout.String())
		assert.Regexp(t, regexp.MustCompile(`^\S+:\d+:\d+: `), stderr.String())
		return
	}
	require.Equal(t, 0, code, stderr.String())
	expected, err := os.ReadFile(result)
	require.NoError(t, err)
	var want, got any
	require.NoError(t, json.Unmarshal(expected, &want))
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &got))
	assert.Equal(t, comparable(want), comparable(got))
}

// setEnvironment sets the environment variables of a case until its end.
func setEnvironment(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return
	}
	require.NoError(t, err)
	for _, line := range strings.Split(string(text), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			t.Setenv(name, value)
		}
	}
}

// comparable removes keys whose value is null, and the key system, whose value in
// test01 and test03 depends on the machine.
func comparable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for key, value := range v {
			if value != nil && key != "system" {
				kept[key] = comparable(value)
			}
		}
		return kept
	case []any:
		for n := range v {
			v[n] = comparable(v[n])
		}
	}
	return v
}
