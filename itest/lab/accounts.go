//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	labHome    = labDir + "/home"
	boxUser    = "user" // of linux-box, as the seed document has it
	boxUserID  = 64990
	boxUserDir = labDir + "/home-user"
)

// makeAccounts puts private copies of the account files and /etc/hosts in
// place: root's home is the lab's, and linux-box has its user.
func makeAccounts() error {
	edits := map[string]func(string) string{
		"/etc/passwd": func(text string) string {
			text = regexp.MustCompile(`(?m)^(root:[^:]*:0:0:[^:]*):[^:]*:`).ReplaceAllString(text, "$1:"+labHome+":")
			return withLine(text, boxUser, fmt.Sprintf("%s:x:%d:%d:linux-box:%s:/bin/sh", boxUser, boxUserID, boxUserID, boxUserDir))
		},
		"/etc/group": func(text string) string {
			text = regexp.MustCompile(`(?m)^(libvirt:[^:]*:[^:]*):(.*)$`).ReplaceAllString(text, "$1:"+boxUser)
			return withLine(text, boxUser, fmt.Sprintf("%s:x:%d:", boxUser, boxUserID))
		},
		"/etc/shadow": func(text string) string {
			return withLine(text, boxUser, boxUser+":*:19000:0:99999:7:::")
		},
		"/etc/hosts": func(string) string {
			return fmt.Sprintf("127.0.0.1 localhost\n::1 localhost ip6-localhost\n%s %s\n", bridgeAddress, boxName)
		},
	}
	for path, edit := range edits {
		if err := replaceFile(path, edit); err != nil {
			return err
		}
	}
	if err := os.Mkdir(boxUserDir, 0o755); err != nil {
		return err
	}
	return os.Chown(boxUserDir, boxUserID, boxUserID)
}

// withLine adds an account's line and takes away the one it may already have.
func withLine(text, name, line string) string {
	text = regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`:.*\n?`).ReplaceAllString(text, "")
	return strings.TrimRight(text, "\n") + "\n" + line + "\n"
}

// replaceFile binds an edited copy of a file over it.
func replaceFile(path string, edit func(string) string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	own := filepath.Join(labDir, "etc", filepath.Base(path))
	if err := os.WriteFile(own, []byte(edit(string(text))), info.Mode().Perm()); err != nil {
		return err
	}
	return bind(own, path)
}
