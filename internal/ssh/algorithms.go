package ssh

import (
	"slices"

	xssh "golang.org/x/crypto/ssh"
)

// signatures are the host key algorithms that a type of key is used with.
func signatures(keyType string) []string {
	if keyType == xssh.KeyAlgoRSA {
		// ssh-rsa itself signs with SHA-1, which nothing recent accepts.
		return []string{xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// preferring puts the algorithms of these types of key in front of the
// others: without that, a machine with several keys may show one that
// known_hosts does not have although it has another. The others stay in the
// offer so that a machine that changed its key is told from one that cannot
// be talked to.
func preferring(keyTypes []string) []string {
	var algorithms []string
	for _, t := range keyTypes {
		algorithms = append(algorithms, signatures(t)...)
	}
	for _, a := range xssh.SupportedAlgorithms().HostKeys {
		if !slices.Contains(algorithms, a) {
			algorithms = append(algorithms, a)
		}
	}
	return algorithms
}

// without removes the algorithms of a type of key.
func without(algorithms []string, keyType string) []string {
	gone := append(signatures(keyType), keyType)
	return slices.DeleteFunc(slices.Clone(algorithms), func(a string) bool { return slices.Contains(gone, a) })
}
