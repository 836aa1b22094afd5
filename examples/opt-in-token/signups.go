package main

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"time"

	"opossum"
	"opossum/examples/internal/payload"
)

// Why something is refused.
var (
	ErrNoToken   = errors.New("there is no such token for this address")
	ErrUsed      = errors.New("the token was used")
	ErrRevoked   = errors.New("the token was revoked")
	ErrExpired   = errors.New("the token has expired")
	ErrConfirmed = errors.New("the address is confirmed already")
)

// The events. They have a hash of the token: who reads the store, or its backup, cannot redeem what was issued.
type (
	SignUpInitiated struct {
		Email string `json:"email"`
		Name  string `json:"name"`
		Token string `json:"token"` // its hash
	}
	SignUpConfirmed struct {
		Email string `json:"email"`
		Name  string `json:"name"`
		Token string `json:"token"`
	}
	SignUpRevoked struct {
		Email string `json:"email"`
		Token string `json:"token"`
	}
)

// hash is safe as it is for a token, which nobody can guess. An address can be guessed: its hash keeps it out of indices and logs, and no secret.
func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

func emailTag(email string) opossum.Tag      { return opossum.Tag("email:" + hash(normal(email))) }
func tokenTag(tokenHash string) opossum.Tag  { return opossum.Tag("token:" + tokenHash) }
func both(email, token string) []opossum.Tag { return []opossum.Tag{emailTag(email), tokenTag(token)} }
func normal(email string) string             { return strings.ToLower(strings.TrimSpace(email)) }

const (
	signUpInitiated = "SignUpInitiated"
	signUpConfirmed = "SignUpConfirmed"
	signUpRevoked   = "SignUpRevoked"
)

func (SignUpInitiated) EventType() string { return signUpInitiated }
func (SignUpConfirmed) EventType() string { return signUpConfirmed }
func (SignUpRevoked) EventType() string   { return signUpRevoked }

func (e SignUpInitiated) Tags() []opossum.Tag { return both(e.Email, e.Token) }
func (e SignUpConfirmed) Tags() []opossum.Tag { return both(e.Email, e.Token) }
func (e SignUpRevoked) Tags() []opossum.Tag   { return both(e.Email, e.Token) }

// signUp is what has become of a token. No table of tokens is kept anywhere: the events say it.
type signUp struct {
	name   string
	issued time.Time
	end    error // nil while it is open; else why it cannot be redeemed
}

func signUpOf(email, tokenHash string) opossum.Projection[signUp] {
	return opossum.Projection[signUp]{
		Name:    "sign-up",
		Query:   opossum.Match(opossum.QueryItem{Types: []string{signUpInitiated, signUpConfirmed, signUpRevoked}, Tags: both(email, tokenHash)}),
		Initial: func() signUp { return signUp{end: ErrNoToken} },
		Apply: func(s signUp, e opossum.SequencedEvent) signUp {
			switch e.Event.Type {
			case signUpInitiated:
				return signUp{name: payload.Of[SignUpInitiated](e).Name, issued: e.Event.Time}
			case signUpConfirmed:
				s.end = ErrUsed
			case signUpRevoked:
				s.end = ErrRevoked
			}
			return s
		},
	}
}

// confirmed is whether an address was confirmed, with whatever token.
func confirmed(email string) opossum.Projection[bool] {
	return opossum.Projection[bool]{
		Name:  "confirmed",
		Query: opossum.Match(opossum.QueryItem{Types: []string{signUpConfirmed}, Tags: []opossum.Tag{emailTag(email)}}),
		Apply: func(bool, opossum.SequencedEvent) bool { return true },
	}
}

// SignUps is what can be done.
type SignUps struct {
	Store *opossum.Engine
	Now   func() time.Time
	Rand  io.Reader     // of tokens: crypto/rand.Reader
	Valid time.Duration // how long a token can be redeemed
}

// Initiate issues a token, which is to be sent to the address and is kept nowhere else. Error: ErrConfirmed.
func (s SignUps) Initiate(ctx context.Context, email, name string) (token string, err error) {
	var secret [15]byte
	if _, err := io.ReadFull(s.Rand, secret[:]); err != nil {
		return "", err
	}
	token = base32.StdEncoding.EncodeToString(secret[:])
	_, err = opossum.Decide(ctx, s.Store, confirmed(email), func(confirmed bool) ([]opossum.Event, error) {
		if confirmed {
			return nil, ErrConfirmed
		}
		return payload.Events(s.Now(), SignUpInitiated{email, name, hash(token)})
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// Confirm redeems a token, once. Errors: ErrNoToken, also if the token is another address's; ErrUsed, ErrRevoked, ErrExpired, ErrConfirmed.
func (s SignUps) Confirm(ctx context.Context, email, token string) error {
	facts := opossum.Join2(signUpOf(email, hash(token)), confirmed(email))
	_, err := opossum.Decide(ctx, s.Store, facts, func(known opossum.Pair[signUp, bool]) ([]opossum.Event, error) {
		signUp, confirmed := known.First, known.Second
		switch {
		case signUp.end != nil:
			return nil, signUp.end
		case s.Now().Sub(signUp.issued) > s.Valid:
			return nil, ErrExpired
		case confirmed:
			return nil, ErrConfirmed
		}
		return payload.Events(s.Now(), SignUpConfirmed{email, signUp.name, hash(token)})
	})
	return err
}

// Revoke makes a token worthless. Errors: ErrNoToken, ErrUsed, ErrRevoked.
func (s SignUps) Revoke(ctx context.Context, email, token string) error {
	_, err := opossum.Decide(ctx, s.Store, signUpOf(email, hash(token)), func(signUp signUp) ([]opossum.Event, error) {
		if signUp.end != nil {
			return nil, signUp.end
		}
		return payload.Events(s.Now(), SignUpRevoked{email, hash(token)})
	})
	return err
}
