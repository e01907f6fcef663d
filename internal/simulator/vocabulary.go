package simulator

// The words of the generated traffic. They are written into JSON strings unchanged, so none needs an escape. Names, addresses and phone
// numbers belong to nobody.
var (
	statuses  = []string{"waiting-for-agent", "waiting-for-customer", "waiting-for-external", "closed"}
	assignees = []string{"null", `"5b00c0aa"`, `"5b00c0ab"`, `"5b00c0ac"`, `"5b00c0ad"`}
	apps      = []string{"82662ee4-0080-4960-8b8f-d7693e6ff3e4", "1f0c7d52-6a5e-4d0c-9a56-0b5d2e4f7a11"}
	labels    = []string{"5e00aa01", "5e00aa02", "5e00aa03"}

	titles = []string{
		"Heizung im Bad kalt", "Lift steht", "Wasserhahn tropft", "Türschloss klemmt", "Fenster schließt nicht", "Waschmaschine läuft aus",
		"Kein warmes Wasser 🚿", "Schimmel in der Küche", "Broken light in the hallway 💡", "Key lost 🔑", "Noisy neighbours",
		"Parking space blocked 🚗", "Dishwasher out of order", "Frage zur Nebenkostenabrechnung", "Briefkasten beschädigt",
		"Sonnenstore hängt schief",
	}
	sentences = []string{
		"Seit gestern Abend bleibt der Heizkörper kalt. 🥶", "Bereits zweimal entlüftet, ohne Erfolg.",
		"Bitte um einen Rückruf am späten Nachmittag.",
		"Das Geräusch tritt vor allem nachts auf und stört sehr.", "Die Nachbarn im dritten Stock haben dasselbe Problem.",
		"Der Schlüssel liegt beim Hauswart, Sie können jederzeit in die Wohnung.", "Wäre es möglich, diese Woche jemanden vorbeizuschicken?",
		"Fotos sind angehängt. 📷", "Vielen Dank für die schnelle Hilfe!", "Grüße aus Zürich 🙂", "It has been like this since last weekend.",
		"I have already tried to reset it, but it did not help.", "Could somebody please have a look at it before Friday?",
		"There is water on the floor, and it is getting worse. 💧", "The caretaker said that he would order a spare part.",
		"Nobody was at home when the technician came.", "I am in the office until five, afterwards you can reach me by phone.",
		"Es riecht außerdem leicht verbrannt, deshalb haben wir die Sicherung herausgenommen. ⚠️",
	}
	rooms      = []string{"bathroom", "kitchen", "cellar", "living-room", "balcony"}
	properties = []string{"Sunrise Towers", "Überbauung Lindenhof", "Am Bärenplatz", "Riverside"}
	streets    = []string{"Hauptstrasse", "Bahnhofstrasse", "Rosenweg", "Äussere Ringstrasse", "Mühlegasse"}
	cities     = []string{"Zürich", "Genève", "Bern", "Köniz", "Basel"}

	people = []person{
		{"5b00c001", "Mara", "mara", "de_DE"}, {"5b00c002", "Jörg", "joerg", "de_DE"}, {"5b00c003", "Zoë", "zoe", "en_US"},
		{"5b00c004", "Émile", "emile", "fr_FR"}, {"5b00c005", "Sanne", "sanne", "en_US"},
	}
	categories = []category{
		{"5d1f2c3b4a59687766550001", "damage-report", "Schadensmeldung", "Damage report"},
		{"5d1f2c3b4a59687766550002", "question", "Allgemeine Frage", "General question"},
		{"5d1f2c3b4a59687766550003", "key-order", "Schlüsselbestellung", "Key order"},
	}
)

type person struct{ id, name, mailbox, locale string }

type category struct{ id, key, german, english string }
