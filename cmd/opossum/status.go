package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"opossum"
)

// Exit statuses. Shells expect 128 plus the signal's number after a signal.
const (
	exitError       = 1
	exitUsage       = 2
	exitCondition   = 3
	exitDamaged     = 4
	exitInterrupted = 128 + int(syscall.SIGINT)
	exitClosedPipe  = 128 + int(syscall.SIGPIPE)
)

// statusHelp is the part of the help that says what they mean.
const statusHelp = `Exit status:
  0    done; tail: ended by an interruption, which is how it ends
  1    an error
  2    the command line is wrong; nothing was done
  3    the condition of an append failed; nothing was appended
  4    the store is damaged: verify found it, another command met it, or a repair would lose events and has no --accept-loss
  130  interrupted
  141  nobody reads the output any more`

// statusOf returns the exit status for what the command line came to.
func statusOf(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled): // nothing but a signal cancels
		return exitInterrupted
	case errors.Is(err, syscall.EPIPE):
		return exitClosedPipe
	case errors.Is(err, opossum.ErrConditionFailed), errors.Is(err, opossum.ErrAlreadyExists):
		return exitCondition
	case errors.Is(err, opossum.ErrCorrupt):
		return exitDamaged
	case isUsage(err):
		return exitUsage
	default:
		return exitError
	}
}

// isUsage reports whether err is about the command line: cobra found it before a command ran, a command said so, or it
// is about a query, which comes from nowhere else.
func isUsage(err error) bool {
	var usage *usageError
	var ran *commandError
	return errors.As(err, &usage) || !errors.As(err, &ran) || errors.Is(err, opossum.ErrInvalidQuery)
}

// usageError is an error of a command about its flags and arguments.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// commandError is any error of a command that cobra has run.
type commandError struct{ err error }

func (e *commandError) Error() string { return e.err.Error() }

func (e *commandError) Unwrap() error { return e.err }

// reworded says an error in the words of the program; err still decides what it is.
type reworded struct {
	text string
	err  error
}

func (e *reworded) Error() string { return e.text }

func (e *reworded) Unwrap() error { return e.err }
