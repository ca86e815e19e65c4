// Pion, as Debian ships it: a WebRTC client that is no browser, until its input ends. It prints a line for what it does and
// receives.
//
// On the plain HTTP API:
//
//	pion publish BASE SECRET
//	pion view BASE SECRET SESSION NAME...
//	pion channels BASE SECRET SESSION NAME THEIRS
//
// A role may have the kind of the certificate's key behind it: view:RSA, view:P-384, view:P-521.
//
// By WHIP and WHEP:
//
//	pion whip URL SECRET
//	pion whep URL SECRET
//
// What is published comes in the first line of the input: {"video": [...], "audio": [...]}, frames of VP8 at 15 a second and
// of Opus at 50, in base64, which go round. `channels` publishes the channel NAME, subscribes to THEIRS of SESSION, and sends
// the input's {"text": ...} and {"bytes": n}.
package main

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v3"
	"github.com/pion/webrtc/v3/pkg/media"
)

type fields map[string]interface{}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(what fields) {
	line, err := json.Marshal(what)
	check(err)
	fmt.Println(string(line))
}

// One call of HTTP: the header and the body of what came back.
func call(method, address, secret, kind string, body []byte) (http.Header, []byte) {
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	check(err)
	request.Header.Set("Authorization", "Bearer "+secret)
	request.Header.Set("Content-Type", kind)
	response, err := http.DefaultClient.Do(request)
	check(err)
	defer response.Body.Close()
	reply, err := io.ReadAll(response.Body)
	check(err)
	if response.StatusCode >= 300 || bytes.Contains(reply, []byte(`"errorCode"`)) {
		check(fmt.Errorf("%s %s: %s %s", method, address, response.Status, reply))
	}
	return response.Header, reply
}

type description struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
}

type reply struct {
	SessionID          string      `json:"sessionId"`
	SessionDescription description `json:"sessionDescription"`
	DataChannels       []struct {
		ID uint16 `json:"id"`
	} `json:"dataChannels"`
}

type client struct {
	*webrtc.PeerConnection
	base, secret, session string
}

// A certificate with a key of that kind; Pion's own, on P-256, where none is named.
func certificates(kind string) []webrtc.Certificate {
	var key crypto.PrivateKey
	var err error
	switch kind {
	case "":
		return nil
	case "RSA":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "P-384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "P-521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		err = fmt.Errorf("no such key: %s", kind)
	}
	check(err)
	certificate, err := webrtc.GenerateCertificate(key)
	check(err)
	return []webrtc.Certificate{*certificate}
}

func newClient(base, secret, key string) *client {
	settings := webrtc.SettingEngine{}
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	engine := &webrtc.MediaEngine{}
	check(engine.RegisterDefaultCodecs())
	api := webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(engine))
	pc, err := api.NewPeerConnection(webrtc.Configuration{Certificates: certificates(key)})
	check(err)
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) { say(fields{"state": state.String()}) })
	pc.OnICEConnectionStateChange(func(state webrtc.ICEConnectionState) { say(fields{"ice": state.String()}) })
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { watch(track) })
	return &client{PeerConnection: pc, base: base, secret: secret}
}

func (c *client) api(method, path string, body interface{}) (got reply) {
	text, err := json.Marshal(body)
	check(err)
	_, answer := call(method, c.base+"/"+path, c.secret, "application/json", text)
	check(json.Unmarshal(answer, &got))
	return got
}

func (c *client) sessions(method, path string, body interface{}) reply {
	return c.api(method, "sessions/"+c.session+"/"+path, body)
}

func (c *client) newSession() { c.session = c.api("POST", "sessions/new", fields{}).SessionID }

// Our own description, with all candidates in it.
func (c *client) local(made webrtc.SessionDescription, err error) description {
	check(err)
	complete := webrtc.GatheringCompletePromise(c.PeerConnection)
	check(c.SetLocalDescription(made))
	<-complete
	mine := c.LocalDescription()
	return description{mine.Type.String(), mine.SDP}
}

func (c *client) offer() description { return c.local(c.CreateOffer(nil)) }

func (c *client) take(kind webrtc.SDPType, sdp string) {
	check(c.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: sdp}))
}

// Takes the offer of a reply, and answers it.
func (c *client) answer(offered reply) {
	c.take(webrtc.SDPTypeOffer, offered.SessionDescription.SDP)
	answer := c.local(c.CreateAnswer(nil))
	c.sessions("PUT", "renegotiate", fields{"sessionDescription": answer})
	for _, line := range strings.Split(answer.SDP, "\r\n") {
		if strings.HasPrefix(line, "a=setup:") {
			say(fields{"setup": strings.TrimPrefix(line, "a=setup:")})
			break
		}
	}
}

// Sends what the input's first line holds. Returns its tracks, the one of video first.
func (c *client) addSources(input *bufio.Scanner) (sources []*webrtc.RTPTransceiver) {
	var frames struct{ Video, Audio [][]byte }
	input.Scan()
	check(json.Unmarshal(input.Bytes(), &frames))
	add := func(kind string, frames [][]byte, each time.Duration) {
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: kind}, kind[:5], "pion")
		check(err)
		way := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
		transceiver, err := c.AddTransceiverFromTrack(track, way)
		check(err)
		sources = append(sources, transceiver)
		go func() {
			for _, _, err := transceiver.Sender().ReadRTCP(); err == nil; _, _, err = transceiver.Sender().ReadRTCP() {
			}
		}()
		go func() {
			for at := range time.Tick(each) {
				_ = at
				check(track.WriteSample(media.Sample{Data: frames[0], Duration: each}))
				frames = append(frames[1:], frames[0])
			}
		}()
	}
	add(webrtc.MimeTypeVP8, frames.Video, time.Second/15)
	add(webrtc.MimeTypeOpus, frames.Audio, time.Second/50)
	return sources
}

func (c *client) publish(input *bufio.Scanner) {
	sources := c.addSources(input)
	c.newSession()
	offer := c.offer()
	tracks := []fields{}
	for at, name := range []string{"camera", "microphone"} {
		tracks = append(tracks, fields{"location": "local", "mid": sources[at].Mid(), "trackName": name})
	}
	answer := c.sessions("POST", "tracks/new", fields{"sessionDescription": offer, "tracks": tracks})
	c.take(webrtc.SDPTypeAnswer, answer.SessionDescription.SDP)
	say(fields{"sessionId": c.session})
}

func (c *client) view(publisher string, names []string) {
	c.newSession()
	say(fields{"sessionId": c.session})
	// One call per track: the second one changes a connection that is up.
	for _, name := range names {
		track := fields{"location": "remote", "sessionId": publisher, "trackName": name}
		c.answer(c.sessions("POST", "tracks/new", fields{"tracks": []fields{track}}))
	}
}

func (c *client) channels(other, name, theirs string) *webrtc.DataChannel {
	c.newSession()
	opened := make(chan bool)
	c.OnDataChannel(func(events *webrtc.DataChannel) { events.OnOpen(func() { close(opened) }) })
	events := fields{"location": "remote", "dataChannelName": "server-events"}
	c.answer(c.sessions("POST", "datachannels/establish", fields{"dataChannel": events}))
	<-opened
	channel := func(wish fields) *webrtc.DataChannel {
		agreed := true
		id := c.sessions("POST", "datachannels/new", fields{"dataChannels": []fields{wish}}).DataChannels[0].ID
		made, err := c.CreateDataChannel(wish["dataChannelName"].(string), &webrtc.DataChannelInit{Negotiated: &agreed, ID: &id})
		check(err)
		made.OnMessage(func(got webrtc.DataChannelMessage) {
			if got.IsString {
				say(fields{"text": string(got.Data)})
			} else {
				say(fields{"bytes": len(got.Data)})
			}
		})
		return made
	}
	mine := channel(fields{"location": "local", "dataChannelName": name})
	channel(fields{"location": "remote", "dataChannelName": theirs, "sessionId": other})
	say(fields{"sessionId": c.session, "open": true})
	return mine
}

// The one exchange of WHIP and WHEP; returns the address of the resource.
func (c *client) byOffer(address string) string {
	header, answer := call("POST", address, c.secret, "application/sdp", []byte(c.offer().SDP))
	c.take(webrtc.SDPTypeAnswer, string(answer))
	from, err := url.Parse(address)
	check(err)
	resource, err := from.Parse(header.Get("Location"))
	check(err)
	return resource.String()
}

// Counts what is received: whole frames of video and the size of its picture, packets of audio.
func watch(track *webrtc.TrackRemote) {
	count, width, height := 0, 0, 0
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if track.Kind() == webrtc.RTPCodecTypeAudio {
			if count++; count%25 == 0 {
				say(fields{"kind": "audio", "frames": count, "codec": track.Codec().MimeType})
			}
			continue
		}
		var part codecs.VP8Packet
		if frame, err := part.Unmarshal(packet.Payload); err == nil && part.S == 1 && len(frame) >= 10 && frame[0]&1 == 0 {
			// A keyframe tells its size (RFC 6386 9.1).
			width, height = int(frame[6])|int(frame[7])&0x3f<<8, int(frame[8])|int(frame[9])&0x3f<<8
		}
		if packet.Marker {
			count++
			say(fields{"kind": "video", "frames": count, "width": width, "height": height, "codec": track.Codec().MimeType})
		}
	}
}

func main() {
	role, address, secret, rest := os.Args[1], os.Args[2], os.Args[3], os.Args[4:]
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 16<<20)
	role, key, _ := strings.Cut(role, ":")
	c := newClient(address, secret, key)
	var mine *webrtc.DataChannel
	resource := ""
	switch role {
	case "publish":
		c.publish(input)
	case "view":
		c.view(rest[0], rest[1:])
	case "channels":
		mine = c.channels(rest[0], rest[1], rest[2])
	case "whip":
		c.addSources(input)
		resource = c.byOffer(address)
	case "whep":
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
			way := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
			_, err := c.AddTransceiverFromKind(kind, way)
			check(err)
		}
		resource = c.byOffer(address)
	}
	for input.Scan() {
		var wish struct {
			Text  *string
			Bytes int
		}
		check(json.Unmarshal(input.Bytes(), &wish))
		if wish.Text != nil {
			check(mine.SendText(*wish.Text))
		} else {
			check(mine.Send(make([]byte, wish.Bytes)))
		}
	}
	if resource != "" {
		call("DELETE", resource, secret, "application/sdp", nil)
	}
	check(c.Close())
}
