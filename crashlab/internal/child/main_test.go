package child

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAppendsAreAssuredInTurn(t *testing.T) {
	c := &child{Task: Task{Assure: 3}}
	var got []assurance
	for n := range 14 {
		got = append(got, c.assurance(n))
	}
	require.Equal(t, []assurance{0, 0, whenDurable, 0, 0, bySync, 0, 0, byWaiting, 0, 0, whenDurable, 0, 0}, got)
	require.Equal(t, none, (&child{}).assurance(0))
	require.Equal(t, whenDurable, (&child{Task: Task{Assure: 1}}).assurance(0))
}
