// Package host is the machine that the crash lab breaks: namespaces that leave nothing behind, disks in memory, and the switch that cuts their power.
//
// Linux only, and only for root: it mounts file systems and makes loop devices.
package host
