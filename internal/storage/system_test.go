package storage

import (
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// mounts are lines of real systems: a laptop with a LUKS disk, btrfs with subvolumes, a container, shares, and what is awkward.
const mounts = `22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/mapper/vg0-root rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
25 22 0:23 / /dev/shm rw,nosuid,nodev shared:4 - tmpfs tmpfs rw,size=8024684k,inode64
41 22 0:37 /@home /home rw,noatime shared:30 master:7 - btrfs /dev/nvme0n1p3 rw,ssd,space_cache=v2,subvolid=257,subvol=/@home
52 22 8:17 / /mnt/my\040old\011disk rw,relatime - xfs /dev/sdb1 rw,attr2,inode64
61 22 0:44 / /srv/share rw,relatime shared:200 - nfs4 nas.local:/export/my\040share rw,vers=4.2,addr=10.0.0.7
62 22 0:45 / /srv/win rw,relatime - cifs \134\134nas\134data rw,vers=3.1.1
63 22 0:46 / /mnt/remote rw,nosuid,nodev,relatime - fuse.sshfs a@host:/data rw,user_id=1000,group_id=1000
64 22 8:33 / /media/stick rw,nosuid,nodev - fuseblk /dev/sdc1 rw,user_id=0
371 370 0:52 / / rw,relatime master:171 propagate_from:2 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A:/var/lib/docker/overlay2/l/B
380 371 254:1 /var/lib/docker/volumes/data/_data /data rw,relatime master:1 - ext4 /dev/mapper/vg0-root rw
390 371 0:60 / /empty rw - tmpfs  rw
400 371 0:61 / /-/- rw,relatime - 9p hostshare rw,trans=virtio
410 22 0:62 / /tank rw,relatime shared:9 - zfs tank/data rw,xattr
420 22 0:63 / /cut rw,relatime shared:9 - zfs
430 22 0:64
`

func TestParseMount(t *testing.T) {
	for id, want := range map[int]mount{
		22:  {"254:1", "ext4", "/dev/mapper/vg0-root"},
		25:  {"0:23", "tmpfs", "tmpfs"},
		41:  {"0:37", "btrfs", "/dev/nvme0n1p3"},
		52:  {"8:17", "xfs", "/dev/sdb1"},
		61:  {"0:44", "nfs4", "nas.local:/export/my share"},
		62:  {"0:45", "cifs", `\\nas\data`},
		63:  {"0:46", "fuse.sshfs", "a@host:/data"},
		64:  {"8:33", "fuseblk", "/dev/sdc1"},
		371: {"0:52", "overlay", "overlay"},
		380: {"254:1", "ext4", "/dev/mapper/vg0-root"},
		390: {"0:60", "tmpfs", ""},
		400: {"0:61", "9p", "hostshare"},
		410: {"0:62", "zfs", "tank/data"},
	} {
		got, ok := parseMount(mounts, id)
		require.True(t, ok, "%d", id)
		require.Equal(t, want, got, "%d", id)
	}
	for _, id := range []int{0, 2, 37, 420, 430, 9999} {
		_, ok := parseMount(mounts, id)
		require.False(t, ok, "%d", id)
	}
}

func TestBlockDevice(t *testing.T) {
	for device, want := range map[string]bool{"254:1": true, "8:0": true, "0:37": false, "": false} {
		got, ok := mount{device: device}.blockDevice()
		require.Equal(t, want, ok, device)
		require.Equal(t, device, got)
	}
}

func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{
		``: ``, `plain`: `plain`, `a\040b`: `a b`, `\011\012\134`: "\t\n\\", `\0401`: ` 1`, `a\04`: `a\04`, `a\`: `a\`, `\999`: `\999`, `\777`: `\777`,
		`\303\244`: "ä", `\377`: "\uFFFD",
	} {
		require.Equal(t, want, unescape(text), "%q", text)
	}
}

func TestParseMountID(t *testing.T) {
	id, ok := parseMountID("pos:\t0\nflags:\t0100000\nmnt_id:\t371\nino:\t2\n")
	require.True(t, ok)
	require.Equal(t, 371, id)
	for _, text := range []string{"", "pos:\t0\nflags:\t0100000\n", "mnt_id:\tx\n", "not_mnt_id:\t3\n"} {
		_, ok = parseMountID(text)
		require.False(t, ok, "%q", text)
	}
}

func TestParseQueue(t *testing.T) {
	yes, no := true, false
	for text, want := range map[string]*bool{"1\n": &yes, "0\n": &no, "": nil, "2\n": nil, "yes": nil} {
		require.Equal(t, want, parseFlag(text), "%q", text)
	}
	for text, want := range map[string]string{"write back\n": "write back", "write through\n": "write through", "": "", "none\n": ""} {
		require.Equal(t, want, parseCache(text), "%q", text)
	}
}

// sysfs makes a tree as sysfs has it: a disk with a partition, and a device of an old kernel.
func sysfs(t *testing.T) string {
	sys := t.TempDir()
	put := func(path, text string) {
		path = filepath.Join(sys, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	link := func(device, path string) {
		require.NoError(t, os.MkdirAll(filepath.Join(sys, "dev", "block"), 0o755))
		require.NoError(t, os.Symlink(filepath.Join("..", "..", path), filepath.Join(sys, "dev", "block", device)))
	}
	put("devices/pci0/block/sda/queue/rotational", "1\n")
	put("devices/pci0/block/sda/queue/write_cache", "write back\n")
	put("devices/pci0/block/sda/queue/fua", "0\n")
	put("devices/pci0/block/sda/sda2/partition", "2\n")
	link("8:0", "devices/pci0/block/sda")
	link("8:2", "devices/pci0/block/sda/sda2")
	put("devices/virtual/block/dm-0/queue/rotational", "0\n")
	link("254:0", "devices/virtual/block/dm-0")
	return sys
}

func TestDescribeDevice(t *testing.T) {
	sys := sysfs(t)
	yes, no := true, false
	for device, want := range map[string]System{
		"8:0":   {Device: "sda", Rotational: &yes, WriteCache: "write back", FUA: &no},
		"8:2":   {Device: "sda2", Rotational: &yes, WriteCache: "write back", FUA: &no},
		"254:0": {Device: "dm-0", Rotational: &no},
		"9:9":   {Device: "9:9"},
	} {
		var s System
		s.describeDevice(sys, device)
		require.Equal(t, want, s, device)
	}
}

func FuzzParseMount(f *testing.F) {
	f.Add(mounts, 52)
	f.Add("1 2 3:4 / /a rw - \\040 \\37", 1)
	f.Add("1 2 3:4 / /a rw - ", 1)
	f.Add("1 2 3:4 / /a rw shared:1", 1)
	f.Fuzz(func(t *testing.T, text string, id int) {
		m, ok := parseMount(text, id)
		require.True(t, ok || m == mount{})
		require.True(t, utf8.ValidString(m.fileSystem) && utf8.ValidString(m.source))
		parseMountID(text)
	})
}
