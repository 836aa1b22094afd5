// Package testmount gives tests small file systems of their own. Only tests import it.
package testmount
