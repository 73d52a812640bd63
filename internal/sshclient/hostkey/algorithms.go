package hostkey

import (
	"slices"
	"strings"

	xssh "golang.org/x/crypto/ssh"
)

// certificates are the types of key that a certificate authority may have
// signed.
var certificates = []string{
	xssh.CertAlgoED25519v01, xssh.CertAlgoECDSA256v01, xssh.CertAlgoECDSA384v01, xssh.CertAlgoECDSA521v01, xssh.CertAlgoRSAv01,
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

// Preferring puts the algorithms of these types of key in front of the
// others: without that, a machine with several keys may show one that
// known_hosts does not have although it has another. The others stay in the
// offer so that a machine that changed its key is told from one that cannot
// be talked to. Certificates are asked for only when an authority is known:
// Without one, the key in them would never be looked at.
func Preferring(keyTypes []string) []string {
	var algorithms []string
	for _, t := range keyTypes {
		algorithms = append(algorithms, signatures(t)...)
	}
	for _, a := range xssh.SupportedAlgorithms().HostKeys {
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
