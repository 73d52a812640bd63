package hocon_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/hocon"
)

// A reference is a JVM process with the reference implementation.
type reference struct {
	in  io.Writer
	out *bufio.Reader
}

// needReference starts the JVM, or skips the test if HOCON_REFERENCE is not set.
func needReference(t *testing.T) *reference {
	t.Helper()
	r := startReference(t)
	if r == nil {
		t.Skip("HOCON_REFERENCE is not set: to compare with the reference implementation, set it to the jar of com.typesafe.config (make reference installs it)")
	}
	return r
}

// startReference starts the JVM with the jar that HOCON_REFERENCE names. It
// returns nil if that is not set.
func startReference(t *testing.T) *reference {
	jar := os.Getenv("HOCON_REFERENCE")
	if jar == "" {
		return nil
	}
	cmd := exec.Command("java", "-cp", jar, filepath.Join("testdata", "reference", "Reference.java"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the reference implementation: %v", err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("the reference implementation: %v", err)
		}
	})
	r := &reference{in: in, out: bufio.NewReaderSize(out, 1<<20)}
	if answer := r.ask(t, "a = 1"); answer.json != `{"a":1}` {
		t.Fatalf("the reference implementation returns %+v for a = 1", answer)
	}
	return r
}

// An answer is a document or an error.
type answer struct{ json, err string }

func (r *reference) ask(t *testing.T, text string) answer {
	return r.line(t, "text "+base64.StdEncoding.EncodeToString([]byte(text)))
}

func (r *reference) askFile(t *testing.T, path string) answer { return r.line(t, "file "+path) }

func (r *reference) line(t *testing.T, question string) answer {
	t.Helper()
	if _, err := fmt.Fprintln(r.in, question); err != nil {
		t.Fatalf("the reference implementation: %v", err)
	}
	line, err := r.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the reference implementation: %v", err)
	}
	line = strings.TrimSuffix(line, "\n")
	if json, ok := strings.CutPrefix(line, "ok "); ok {
		return answer{json: json}
	}
	return answer{err: strings.TrimPrefix(line, "error ")}
}

// ours returns the result of this package.
func ours(t *testing.T, doc *hocon.Document, err error) answer {
	var root *hocon.Value
	if err == nil {
		root, err = doc.Resolve(t.Context(), &hocon.ResolveOptions{Env: noEnv})
	}
	var text []byte
	if err == nil {
		text, err = json.Marshal(root)
	}
	if err != nil {
		return answer{err: err.Error()}
	}
	return answer{json: string(text)}
}

func oursOfText(t *testing.T, text string) answer {
	doc, err := hocon.Parse(t.Context(), "text.conf", []byte(text), nil)
	return ours(t, doc, err)
}

func oursOfFile(t *testing.T, path string) answer {
	doc, err := hocon.ParseFile(t.Context(), path, nil)
	return ours(t, doc, err)
}

// disagree returns how two answers differ, or "".
func disagree(t *testing.T, our, their answer) string {
	switch {
	case our.err != "" && their.err != "":
		return ""
	case our.err != "":
		return "hocon fails: " + our.err + "\nthe reference returns: " + their.json
	case their.err != "":
		return "the reference fails: " + their.err + "\nhocon returns: " + our.json
	}
	if difference := differ("", decodeJSON(t, []byte(our.json)), decodeJSON(t, []byte(their.json))); difference != "" {
		return difference + "\nhocon returns:         " + our.json + "\nthe reference returns: " + their.json
	}
	return ""
}

// TestReference compares the results for random documents. Half of them include
// another.
func TestReference(t *testing.T) {
	r := needReference(t)
	dir := t.TempDir()
	g := newGenerator(1)
	refused, broken, failures, documents := 0, 0, 0, referenceDocuments(t)
	for i := range documents {
		include, text := "", ""
		if i%2 == 0 {
			include, text = g.one("other.conf", "other"), g.document(noInclude)
		}
		root := g.document(include)
		writeFile(t, filepath.Join(dir, "other.conf"), text)
		path := filepath.Join(dir, "root.conf")
		writeFile(t, path, root)
		our := oursOfFile(t, path)
		if our.err != "" {
			refused++
		}
		their := r.askFile(t, path)
		if strings.HasPrefix(their.err, "BugOrBroken") || strings.Contains(their.json, "Infinity") {
			broken++ // it reports a bug of its own, or prints invalid JSON
			continue
		}
		if how := disagree(t, our, their); how != "" {
			t.Errorf("document %d:\n%s\n--- other.conf:\n%s\n--- %s", i, root, text, how)
			if failures++; failures == 10 {
				t.Fatal("stopping after 10 differences")
			}
		}
	}
	t.Logf("%d random documents: %d errors, %d bugs of the reference implementation, same result for all others", documents, refused, broken)
}

// departures are cases in testdata for which the reference implementation
// version 1.3.1 has another result, with the reason; see deviations.
var departures = map[string]string{
	"include/url":                            "it follows URLs",
	"include/url-in-quotes":                  "it follows URLs",
	"include/classpath":                      "it has a class path",
	"include/sloppy-json":                    "it parses an included file as HOCON if the include names its extension",
	"include/required-there":                 "it has no required(), which is new in 1.3.2",
	"resolve/own-fields-of-a-merged-object":  "see deviations",
	"resolve/hidden":                         "see deviations",
	"resolve/white-space-between-containers": "see deviations",
	"resolve/self-reference-and-environment": "it runs without an environment",
	"resolve/empty-environment":              "it runs without an environment",
	"syntax/numbers-as-written":              "it turns large integers into strings",
	"syntax/not-utf8":                        "it accepts any bytes",
	"syntax/escapes":                         "it keeps a surrogate without its other half",
}

// TestReferenceCases compares the results for the cases in testdata.
func TestReferenceCases(t *testing.T) {
	r := needReference(t)
	asked := 0
	for _, c := range findCases(t, filepath.Join("..", "testdata")) {
		name := c.group + "/" + c.name
		if c.wantFile == "" && !c.wantError || departures[name] != "" {
			continue
		}
		asked++
		if how := disagree(t, oursOfFile(t, c.input), r.askFile(t, c.input)); how != "" {
			t.Errorf("%s: %s", name, how)
		}
	}
	t.Logf("same result for %d cases; %d known departures", asked, len(departures))
}

// referenceDocuments returns the number of random documents to compare, which
// HOCON_REFERENCE_DOCUMENTS changes.
func referenceDocuments(t *testing.T) int {
	setting := os.Getenv("HOCON_REFERENCE_DOCUMENTS")
	if setting == "" {
		return 5000
	}
	n, err := strconv.Atoi(setting)
	if err != nil {
		t.Fatalf("HOCON_REFERENCE_DOCUMENTS: %v", err)
	}
	return n
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
