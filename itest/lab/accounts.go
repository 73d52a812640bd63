//go:build linux

package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

const labHome = labDir + "/home"

// account is one of a machine's that key ~/.ssh/id_rsa of the lab's home opens.
type account struct {
	name string
	id   int
	home string
}

// The accounts of linux-box and dhcp-box, as the seed document has them.
var (
	boxUser  = account{"user", 64990, labDir + "/home-user"}
	dhcpUser = account{"dhcp-query-user", 64991, labDir + "/home-dhcp-query-user"}
)

// makeAccounts edits the account files and /etc/hosts in the lab's /etc: root's home is
// the lab's, and linux-box and dhcp-box have their users.
func makeAccounts() error {
	edits := map[string]func(string) string{
		"/etc/passwd": func(text string) string {
			text = regexp.MustCompile(`(?m)^(root:[^:]*:0:0:[^:]*):[^:]*:`).ReplaceAllString(text, "$1:"+labHome+":")
			for _, a := range []account{boxUser, dhcpUser} {
				text = withLine(text, a.name, fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh", a.name, a.id, a.id, a.home))
			}
			return text
		},
		"/etc/group": func(text string) string {
			text = regexp.MustCompile(`(?m)^(libvirt:[^:]*:[^:]*):(.*)$`).ReplaceAllString(text, "$1:"+boxUser.name)
			for _, a := range []account{boxUser, dhcpUser} {
				text = withLine(text, a.name, fmt.Sprintf("%s:x:%d:", a.name, a.id))
			}
			return text
		},
		"/etc/shadow": func(text string) string {
			for _, a := range []account{boxUser, dhcpUser} {
				text = withLine(text, a.name, a.name+":*:19000:0:99999:7:::")
			}
			return text
		},
		"/etc/hosts": func(string) string {
			return fmt.Sprintf("127.0.0.1 localhost\n::1 localhost ip6-localhost\n%s %s\n%s %s\n", bridgeAddress, boxName, dhcpBoxAddress, dhcpBoxName)
		},
	}
	for path, edit := range edits {
		if err := editFile(path, edit); err != nil {
			return err
		}
	}
	return nil
}

// withLine adds an account's line and takes away the one it may already have.
func withLine(text, name, line string) string {
	text = regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`:.*\n?`).ReplaceAllString(text, "")
	return strings.TrimRight(text, "\n") + "\n" + line + "\n"
}

// editFile edits a file in place.
func editFile(path string, edit func(string) string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(edit(string(text))), info.Mode().Perm())
}
