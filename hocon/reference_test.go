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

// A reference is a JVM with the reference implementation in it.
type reference struct {
	in  io.Writer
	out *bufio.Reader
}

// startReference starts the JVM with the jar that HOCON_REFERENCE names. It
// gives nil if that is not set; if it is, failing to start is a failure.
func startReference(t *testing.T) *reference {
	jar := os.Getenv("HOCON_REFERENCE")
	if jar == "" {
		t.Log("NOT RUN: HOCON_REFERENCE is not set. To compare with the reference implementation, let it name the jar of com.typesafe.config (Debian: libtypesafe-config-java and default-jdk-headless)")
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
		t.Fatalf("HOCON_REFERENCE is set, and the reference implementation does not start: %v", err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("the reference implementation: %v", err)
		}
	})
	r := &reference{in: in, out: bufio.NewReaderSize(out, 1<<20)}
	if answer := r.ask(t, "a = 1"); answer.json != `{"a":1}` {
		t.Fatalf("the reference implementation says %+v to a = 1", answer)
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

// ours is what this package answers.
func ours(doc *hocon.Document, err error) answer {
	var root *hocon.Value
	if err == nil {
		root, err = doc.Resolve(&hocon.ResolveOptions{Env: noEnv})
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

func oursOfText(text string) answer { return ours(hocon.Parse("text.conf", []byte(text), nil)) }

// disagree says how two answers differ, "" if they do not.
func disagree(t *testing.T, our, their answer) string {
	switch {
	case our.err != "" && their.err != "":
		return ""
	case our.err != "":
		return "we refuse: " + our.err + "\nthey say: " + their.json
	case their.err != "":
		return "they refuse: " + their.err + "\nwe say: " + our.json
	}
	if difference := differ("", decodeJSON(t, []byte(our.json)), decodeJSON(t, []byte(their.json))); difference != "" {
		return difference + "\nwe say:   " + our.json + "\nthey say: " + their.json
	}
	return ""
}

// TestReference compares random documents, half of them with one that they
// include.
func TestReference(t *testing.T) {
	r := startReference(t)
	if r == nil {
		return
	}
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
		our := ours(hocon.ParseFile(path, nil))
		if our.err != "" {
			refused++
		}
		their := r.askFile(t, path)
		if strings.HasPrefix(their.err, "BugOrBroken") || strings.Contains(their.json, "Infinity") {
			broken++ // it says so itself, or prints what is no JSON
			continue
		}
		if how := disagree(t, our, their); how != "" {
			t.Errorf("document %d:\n%s\n--- other.conf:\n%s\n--- %s", i, root, text, how)
			if failures++; failures == 10 {
				t.Fatal("and so on")
			}
		}
	}
	t.Logf("%d random documents: %d refused, on %d the reference implementation fails, on all others both agree", documents, refused, broken)
}

// departures are our own cases that are about something which the reference
// implementation, or its version 1.3.1, does differently; see deviations.
var departures = map[string]string{
	"include/url":                            "it does follow URLs",
	"include/url-in-quotes":                  "it does follow URLs",
	"include/classpath":                      "it does have a class path",
	"include/sloppy-json":                    "it reads an included file as HOCON if its extension is given",
	"include/required-there":                 "required() came with 1.3.2",
	"resolve/own-fields-of-a-merged-object":  "see deviations",
	"resolve/hidden":                         "see deviations",
	"resolve/white-space-between-containers": "see deviations",
	"resolve/self-reference-and-environment": "it is asked without an environment",
	"resolve/empty-environment":              "it is asked without an environment",
	"syntax/numbers-as-written":              "it makes strings of large integers",
	"syntax/not-utf8":                        "it takes any bytes",
	"syntax/escapes":                         "it keeps half of a surrogate pair",
}

// TestReferenceCases asks the reference implementation about our own cases.
func TestReferenceCases(t *testing.T) {
	r := startReference(t)
	if r == nil {
		return
	}
	asked := 0
	for _, c := range findCases(t, filepath.Join("..", "testdata")) {
		name := c.group + "/" + c.name
		if c.wantFile == "" && !c.wantError || departures[name] != "" {
			continue
		}
		asked++
		if how := disagree(t, ours(hocon.ParseFile(c.input, nil)), r.askFile(t, c.input)); how != "" {
			t.Errorf("%s: %s", name, how)
		}
	}
	t.Logf("agreed on %d of our cases; %d are known departures", asked, len(departures))
}

// referenceDocuments is how many are compared; HOCON_REFERENCE_DOCUMENTS
// changes it.
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
