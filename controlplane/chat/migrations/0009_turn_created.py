from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0008_conversation_lock"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="turn",
            index=models.Index(fields=["created_at"], name="chat_turn_created"),
        ),
    ]
