// Package sshtest starts real SSH servers within a test: golang.org/x/crypto's
// server on a loopback port, with commands run by /bin/sh, SFTP by pkg/sftp,
// and forwarding. Everything ends with the test.
//
//	server := sshtest.Start(t, sshtest.Config{Password: "sesame"})
//	target, err := sshurl.ParseURL(server.URL("connectionType=SFTP"))
//
// A [Server] can also misbehave: [Server.Freeze] makes every connection
// half-open, as a pulled plug does, and [Server.Drop] cuts them.
package sshtest
