package hostkey

import (
	"slices"
	"strings"

	xssh "golang.org/x/crypto/ssh"
)

// certificates are the algorithms of host certificates.
var certificates = []string{
	xssh.CertAlgoED25519v01, xssh.CertAlgoECDSA256v01, xssh.CertAlgoECDSA384v01, xssh.CertAlgoECDSA521v01,
	xssh.CertAlgoRSASHA512v01, xssh.CertAlgoRSASHA256v01,
}

// signatures are the host key algorithms that a type of key is used with.
// ssh-rsa itself signs with SHA-1, which nothing recent accepts.
func signatures(keyType string) []string {
	switch keyType {
	case xssh.KeyAlgoRSA:
		return []string{xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256}
	case xssh.CertAlgoRSAv01:
		return []string{xssh.CertAlgoRSASHA512v01, xssh.CertAlgoRSASHA256v01}
	}
	return []string{keyType}
}

// bySpeed is the order of OpenSSH: Ed25519 signs fastest, RSA slowest.
var bySpeed = []string{
	xssh.KeyAlgoED25519, xssh.KeyAlgoECDSA256, xssh.KeyAlgoECDSA384, xssh.KeyAlgoECDSA521,
	xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256,
}

// Preferring returns all supported algorithms, these first: a machine with several
// keys may otherwise show one that known_hosts does not have. The others follow, in
// the order of OpenSSH, so that a changed key is a [MismatchError] and not a failed
// handshake. Certificates are left out unless they are among the preferred: without
// a known authority, the key in a certificate would not be checked.
func Preferring(preferred []string) []string {
	supported := xssh.SupportedAlgorithms().HostKeys
	preferred = slices.Concat(preferred, bySpeed)
	var algorithms []string
	for _, a := range preferred {
		if slices.Contains(supported, a) && !slices.Contains(algorithms, a) { // not ssh-rsa, which signs with SHA-1
			algorithms = append(algorithms, a)
		}
	}
	for _, a := range supported {
		if !slices.Contains(algorithms, a) && !strings.Contains(a, "-cert-") {
			algorithms = append(algorithms, a)
		}
	}
	return algorithms
}

// Without removes the algorithms of a type of key.
func Without(algorithms []string, keyType string) []string {
	gone := append(signatures(keyType), keyType)
	return slices.DeleteFunc(slices.Clone(algorithms), func(a string) bool { return slices.Contains(gone, a) })
}
