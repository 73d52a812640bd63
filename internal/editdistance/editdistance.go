// Package editdistance measures how much two words differ, to suggest the known
// word that a misspelt one resembles.
package editdistance

import (
	"fmt"
	"strings"
)

// Between counts the letters to insert, delete, replace or swap with their
// neighbor to turn a into b (optimal string alignment). It ignores case.
func Between(a, b string) int {
	s, t := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	var before, last []int
	row := make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(s); i++ {
		before, last, row = last, row, make([]int, len(t)+1)
		row[0] = i
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(t)]
}

// Nearest returns the known word with the smallest distance to word, if that is
// at most limit, and else "".
func Nearest(word string, known []string, limit int) string {
	nearest, distance := "", limit+1
	for _, k := range known {
		if difference := len(k) - len(word); max(difference, -difference) >= 4*distance {
			continue // characters have at most 4 bytes
		}
		if d := Between(word, k); d < distance {
			nearest, distance = k, d
		}
	}
	return nearest
}

// Suggest returns Nearest for an error message, as in `, did you mean "web"?`, or "".
func Suggest(word string, known []string, limit int) string {
	if near := Nearest(word, known, limit); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	return ""
}
