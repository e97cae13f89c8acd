from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0006_feedback"),
    ]

    operations = [
        migrations.AddField(
            model_name="turn",
            name="wants_person",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
